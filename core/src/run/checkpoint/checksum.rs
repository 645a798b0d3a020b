//! Checksums (XXH64, xxhash.com) that detect damaged files. They do not detect tampering.

use std::{
    fmt::Write as _,
    fs::{self, File},
    hash::Hasher,
    io::Read,
    path::Path,
};

use twox_hash::XxHash64;

use super::CheckpointError;
use crate::{data::Prompt, model::Model};

/// First line of checksums.txt. The number goes up when a checkpoint's layout changes.
pub(super) const FORMAT: &str = "moa-checkpoint 1";
/// The file itself.
pub(super) const FILE: &str = "checksums.txt";
/// Bytes of a file that are in memory at once.
const PIECE: usize = 1 << 20;

/// A running sum over bytes.
pub struct Checksum(XxHash64);

impl Default for Checksum {
    fn default() -> Self {
        Self(XxHash64::with_seed(0))
    }
}

impl Checksum {
    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Adds a text after its length, so that two texts differ from their concatenation.
    pub fn add_text(&mut self, text: &str) {
        self.add(&(text.len() as u64).to_le_bytes());
        self.add(text.as_bytes());
    }

    /// Adds what a run takes from a prompt: its tokens, and what rewards see.
    pub fn add_prompt(&mut self, prompt: &Prompt) {
        self.add(&(prompt.tokens.len() as u64).to_le_bytes());
        for token in &prompt.tokens {
            self.add(&token.to_le_bytes());
        }
        for text in [&prompt.text, &prompt.ground_truth, &prompt.data_source, &prompt.extra] {
            self.add_text(text);
        }
    }

    /// Sixteen hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

/// The checksum of a model's parameters and tokenizer.
#[must_use]
pub fn fingerprint(model: &Model) -> String {
    let mut sum = Checksum::default();
    let mut bytes = Vec::new();
    for (slot, values) in model.params().all().iter() {
        sum.add_text(&slot.name);
        for values in values.chunks(PIECE / 4) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            sum.add(&bytes);
        }
    }
    for (name, bytes) in model.tokenizer.files() {
        sum.add_text(name);
        sum.add(bytes);
    }
    sum.hex()
}

/// Forces every file of a finished checkpoint to the disk and writes its checksums.txt, the last file.
pub(super) fn seal(folder: &Path) -> Result<(), CheckpointError> {
    let path = folder.join(FILE);
    let text = sums(folder, true)?;
    fs::write(&path, text).map_err(|e| CheckpointError::file(&path, e))?;
    File::open(&path)
        .and_then(|file| file.sync_all())
        .map_err(|e| CheckpointError::file(&path, e))?;
    sync_folder(folder)
}

/// Forces the entries of a folder to the disk.
pub(super) fn sync_folder(folder: &Path) -> Result<(), CheckpointError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| CheckpointError::file(folder, e))
}

/// Checks every file: checksums.txt must equal, byte for byte, what would be written now.
pub(super) fn verify(folder: &Path) -> Result<(), CheckpointError> {
    let damaged = |problem: String| CheckpointError::Damaged {
        path: folder.to_owned(),
        problem,
    };
    let written = match fs::read_to_string(folder.join(FILE)) {
        Ok(text) => text,
        Err(error) => return Err(damaged(format!("{FILE}: {error}"))),
    };
    let first = written.lines().next().unwrap_or_default();
    if first != FORMAT {
        return Err(CheckpointError::Format {
            path: folder.to_owned(),
            found: first.to_owned(),
            expected: FORMAT,
        });
    }
    let now = sums(folder, false)?;
    if now == written {
        return Ok(());
    }
    let differs = written.lines().zip(now.lines()).find(|(written, now)| written != now);
    Err(damaged(match differs {
        Some((written, now)) => format!("found `{now}`, expected `{written}`"),
        None => format!(
            "found {} files, expected {}",
            now.lines().count() - 1,
            written.lines().count() - 1
        ),
    }))
}

/// The text of checksums.txt for the files that are there, in the order of their names.
fn sums(folder: &Path, sync: bool) -> Result<String, CheckpointError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| CheckpointError::file(folder, e))? {
        let entry = entry.map_err(|e| CheckpointError::file(folder, e))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name != FILE);
    names.sort();
    let mut text = format!("{FORMAT}\n");
    let mut piece = vec![0; PIECE];
    for name in names {
        let path = folder.join(&name);
        let (sum, size) = sum_of(&path, &mut piece, sync).map_err(|e| CheckpointError::file(&path, e))?;
        let _ = writeln!(text, "{sum}  {size}  {name}");
    }
    Ok(text)
}

fn sum_of(path: &Path, piece: &mut [u8], sync: bool) -> std::io::Result<(String, usize)> {
    let mut file = File::open(path)?;
    let (mut sum, mut size) = (Checksum::default(), 0);
    loop {
        match file.read(piece)? {
            0 => break,
            read => {
                sum.add(&piece[..read]);
                size += read;
            }
        }
    }
    if sync {
        file.sync_all()?;
    }
    Ok((sum.hex(), size))
}
