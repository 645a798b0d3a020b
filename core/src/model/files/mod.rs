//! Model files: from a folder, a `.gguf` file or the hub to the parts of a model, and from a model to a folder.

mod config_json;
mod gguf;
mod gguf_metadata;
mod gguf_tokenizer;
mod hub;
mod kept;
mod load;
mod parts;
mod save;
mod weights;

pub(super) use kept::Kept;
pub(super) use load::{from_bytes, load};
pub(super) use parts::Parts;
pub(super) use save::{check_place, check_saved, save, write};
pub(super) use weights::serialize;
