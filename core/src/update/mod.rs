//! Losses in closed form, optimizer, schedule, one policy update.
