//! `SharedSource`: one place to read from, for several readers at once, that never reads past its end.

use std::io::{BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// A [`ChunkReader`] whose handles share one source.
///
/// The `parquet` crate reads `File`s through duplicates that share one cursor, so two threads would
/// move each other's; and it allocates whatever length a damaged footer asks for. Here each access
/// takes a lock and a range is compared with the length of the source first.
pub(super) struct SharedSource<R> {
    source: Arc<Mutex<R>>,
    len: u64,
}

impl<R: ChunkReader> SharedSource<R> {
    pub(super) fn new(source: R) -> Self {
        let len = source.len();
        Self { source: Arc::new(Mutex::new(source)), len }
    }
}

impl<R> Clone for SharedSource<R> {
    fn clone(&self) -> Self {
        Self { source: Arc::clone(&self.source), len: self.len }
    }
}

impl<R: Send> Length for SharedSource<R> {
    fn len(&self) -> u64 {
        self.len
    }
}

impl<R: ChunkReader> ChunkReader for SharedSource<R> {
    type T = BufReader<Cursor<R>>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Cursor { source: self.clone(), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            let message = format!("{length} bytes at {start} lie past the end at {}", self.len);
            return Err(ParquetError::EOF(message));
        }
        self.source.lock().unwrap_or_else(PoisonError::into_inner).get_bytes(start, length)
    }
}

/// Reads a [`SharedSource`] from a position of its own.
pub(super) struct Cursor<R> {
    source: SharedSource<R>,
    position: u64,
}

impl<R: ChunkReader> Read for Cursor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.source.len.saturating_sub(self.position);
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes = self.source.get_bytes(self.position, len).map_err(std::io::Error::other)?;
        buffer[..len].copy_from_slice(&bytes);
        self.position += len as u64;
        Ok(len)
    }
}
