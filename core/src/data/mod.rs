//! Prompts: from a file to token ids in a seeded order.
//!
//! ```text
//! .parquet, .jsonl, …  --read_rows-->  Vec<Row>  --Dataset::new-->  Vec<Prompt>  --Cursor::next-->  P indices a step
//! ```
//! This module stands above `model`, so it knows no tokenizer. The caller of [`Dataset::new`] passes a closure that renders
//! and encodes one prompt (see [`Encode`]).

mod columns;
pub mod convert;
mod csv;
mod cursor;
mod dataset;
mod draw;
pub mod embedded;
mod error;
mod inspect;
mod jsonl;
mod kind;
mod parquet_read;
mod parquet_write;
mod permutation;
mod read;
mod row;
mod supervised;
pub mod tiny_math;
mod write;

pub use cursor::Cursor;
pub use dataset::{Dataset, Encode, EncodeError, Encoded, Overlong, Prompt};
pub use error::{DataError, Place};
pub use inspect::{Column, Inspection, Summary, inspect};
pub use jsonl::write_jsonl;
pub use parquet_read::read_parquet_bytes;
pub use parquet_write::{parquet_bytes, write_parquet};
pub use read::{read_jsonl_bytes, read_rows};
pub use row::{Keys, Message, PromptText, Row};
pub use supervised::read_supervised;
