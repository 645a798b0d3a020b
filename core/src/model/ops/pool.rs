//! Buffers that are used again. A step of a small model writes some hundred megabytes of activations, and new pages
//! from the system cost as much as filling them.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Values that idle buffers may hold in all (256 MiB), and how many buffers.
const KEEP: usize = 64 << 20;
const COUNT: usize = 128;

static IDLE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// A slice of f32 that returns to the pool when dropped. It starts with leftovers of earlier use: write before reading.
pub(crate) struct Buffer(Vec<f32>);

/// A buffer of `len` values of any content.
pub(crate) fn take(len: usize) -> Buffer {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let fitting = idle
        .iter()
        .enumerate()
        .filter(|(_, b)| b.capacity() >= len && b.capacity() <= 2 * len);
    let best = fitting.min_by_key(|(_, b)| b.capacity()).map(|(i, _)| i);
    let mut buffer = match best {
        Some(index) => idle.swap_remove(index),
        None => {
            drop(idle);
            vec![0f32; len]
        }
    };
    // only what an earlier, shorter use cut off is filled
    buffer.resize(len, 0.0);
    Buffer(buffer)
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = idle.iter().map(Vec::capacity).sum();
        if !buffer.is_empty() && idle.len() < COUNT && kept + buffer.capacity() <= KEEP {
            idle.push(buffer);
        }
    }
}
