//! `plugin check`: named cases that every plugin should pass, each run in a child process of its own, so that a
//! plugin that crashes or hangs costs one case and not the report.
//!
//! Two sides, both of this program. The parent ([`check`]) opens the library only after a child has opened it,
//! plans the cases, starts a child for each and waits for it at most [`Options::limit`]. The child
//! ([`answer_case`]) loads the library again, runs one case and answers with a [`Verdict`]. How a child is
//! started is the caller's: core knows neither its own program nor its command line. Inputs and properties are those of
//! [`moa_sdk::testing`], which a plugin's own tests run; all come from fixed seeds, so that a library gets the same
//! report every time.

mod case;
mod finding;
mod params;
mod plan;
mod report;
mod reward;
mod runner;
mod scalarizer;

pub use finding::{Status, Verdict};
pub use plan::answer_case;
pub use report::{CaseReport, Report, Widths};
pub use runner::{Options, check};
