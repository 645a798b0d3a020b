//! What a run shows at its end: the table before and after.

mod table;

pub use table::{before_after, one_line};
