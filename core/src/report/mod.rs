//! What runs have to show: the table before and after at a run's end, a page of a run, comparisons of several runs. A report is a pure
//! function of run folders: nothing of the loop calls it.

mod compare;
mod error;
mod figures;
mod files;
mod groups;
mod page;
mod runs;
mod samples;
mod svg;
mod table;
mod write_table;

pub use compare::{Comparison, On, Pair, Row, compare};
pub use error::ReportError;
pub use files::write_page;
pub use groups::{Group, group};
pub use page::{Page, metrics_csv, page};
pub use runs::{RunData, Steps, Table};
pub use table::{before_after, one_line};
pub use write_table::{Format, write_table};
