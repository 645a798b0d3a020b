//! Checksums (XXH64, xxhash.com) that detect damaged files, and `checksums.txt`, which a folder that moa wrote carries.
//! They do not detect tampering.
//!
//! ```text
//! moa-checkpoint 1                                the format of the folder
//! 1f0e3dad99908345  293018  model.safetensors     XXH64, size in bytes and name of each other file, sorted by name
//! ```

use std::{
    fmt::Write as _,
    fs::{self, File},
    hash::Hasher,
    io::{self, Read},
    path::Path,
};

use twox_hash::XxHash64;

use crate::staged::{FileError, sync_folder};

/// The file itself.
pub(crate) const FILE: &str = "checksums.txt";
/// Bytes of a file that are in memory at once.
pub(crate) const PIECE: usize = 1 << 20;

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

    /// Sixteen hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

/// What a folder is, other than what its checksums.txt says.
#[derive(Debug)]
pub(crate) enum Unlike {
    /// checksums.txt cannot be read.
    Unreadable(io::Error),
    /// It is of another format; its first line.
    Format(String),
    /// A file is missing, was added or has other bytes.
    Files(String),
    /// A file cannot be read.
    File(FileError),
}

/// Forces every file of a folder to the disk and writes its checksums.txt, the last file.
///
/// # Errors
/// A file cannot be read, written or forced to the disk.
pub(crate) fn seal(folder: &Path, format: &str) -> Result<(), FileError> {
    let path = folder.join(FILE);
    let text = sums(folder, format, true)?;
    fs::write(&path, text).map_err(FileError::of(&path))?;
    File::open(&path)
        .and_then(|file| file.sync_all())
        .map_err(FileError::of(&path))?;
    sync_folder(folder)
}

/// Checks every file: checksums.txt must equal, byte for byte, what would be written now.
///
/// # Errors
/// It does not, or cannot be read.
pub(crate) fn verify(folder: &Path, format: &str) -> Result<(), Unlike> {
    let written = fs::read_to_string(folder.join(FILE)).map_err(Unlike::Unreadable)?;
    let first = written.lines().next().unwrap_or_default();
    if first != format {
        return Err(Unlike::Format(first.chars().take(60).collect()));
    }
    let now = sums(folder, format, false).map_err(Unlike::File)?;
    if now == written {
        return Ok(());
    }
    let differs = written.lines().zip(now.lines()).find(|(written, now)| written != now);
    Err(Unlike::Files(match differs {
        Some((written, now)) => format!("found `{now}`, expected `{written}`"),
        None => format!(
            "found {} files, expected {}",
            now.lines().count() - 1,
            written.lines().count() - 1
        ),
    }))
}

/// The text of checksums.txt for the files that are there, in the order of their names.
fn sums(folder: &Path, format: &str, sync: bool) -> Result<String, FileError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(FileError::of(folder))? {
        let entry = entry.map_err(FileError::of(folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name != FILE);
    names.sort();
    let mut text = format!("{format}\n");
    let mut piece = vec![0; PIECE];
    for name in names {
        let path = folder.join(&name);
        let (sum, size) = sum_of(&path, &mut piece, sync).map_err(FileError::of(&path))?;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{sum}  {size}  {name}");
    }
    Ok(text)
}

fn sum_of(path: &Path, piece: &mut [u8], sync: bool) -> io::Result<(String, usize)> {
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
