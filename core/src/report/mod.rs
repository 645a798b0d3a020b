//! Run folders -> tables.
