//! Checked bytes: a file whose blocks have hashes, so that no reader is given a byte that changed.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// Bytes of a block: what is read and hashed at least, however little is asked for.
const BLOCK: usize = 64 << 10;
/// Blocks that are kept since they were checked: the columns of a small row group share one.
const KEPT: usize = 4;
/// Bytes of a hash.
const HASH: usize = 16;

/// The BLAKE3 hashes, cut to 128 bits, of each 64 KiB of a file, and its length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockHashes {
    len: u64,
    hashes: Vec<[u8; HASH]>,
}

impl BlockHashes {
    /// Length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// As bytes, to be kept elsewhere than in the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.len.to_le_bytes().as_slice(), self.hashes.as_flattened()].concat()
    }

    /// From [`BlockHashes::to_bytes`]; `None` for other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (len, hashes) = bytes.split_first_chunk::<8>()?;
        let (len, (hashes, rest)) = (u64::from_le_bytes(*len), hashes.as_chunks::<HASH>());
        let is_whole = rest.is_empty() && hashes.len() as u64 == len.div_ceil(BLOCK as u64);
        is_whole.then(|| Self { len, hashes: hashes.to_vec() })
    }

    /// The first byte from which `file` is not the one that was hashed; `None` when it is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn first_difference(&self, mut file: impl Read) -> io::Result<Option<u64>> {
        let mut block = Vec::with_capacity(BLOCK);
        let mut at = 0;
        for hash in &self.hashes {
            block.clear();
            Read::by_ref(&mut file).take(BLOCK as u64).read_to_end(&mut block)?;
            if hash_of(&block) != *hash {
                return Ok(Some(at));
            }
            at += block.len() as u64;
        }
        let is_longer = file.read(&mut [0])? > 0;
        Ok((is_longer || at != self.len).then_some(at))
    }
}

fn hash_of(block: &[u8]) -> [u8; HASH] {
    let mut hash = [0; HASH];
    hash.copy_from_slice(&blake3::hash(block).as_bytes()[..HASH]);
    hash
}

/// Passes bytes on and hashes them.
pub struct HashingWriter<W> {
    inner: W,
    block: blake3::Hasher,
    filled: usize,
    hashes: BlockHashes,
}

impl<W: Write> HashingWriter<W> {
    /// Hashes what goes to `inner`, to which nothing was written yet.
    pub fn new(inner: W) -> Self {
        Self { inner, block: blake3::Hasher::new(), filled: 0, hashes: BlockHashes::default() }
    }

    /// Where the bytes went, and their hashes.
    pub fn finish(mut self) -> (W, BlockHashes) {
        if self.filled > 0 {
            self.end_block();
        }
        (self.inner, self.hashes)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.hashes.len
    }

    fn end_block(&mut self) {
        let mut hash = [0; HASH];
        hash.copy_from_slice(&self.block.finalize().as_bytes()[..HASH]);
        self.hashes.hashes.push(hash);
        self.block.reset();
        self.filled = 0;
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        let mut rest = &bytes[..written];
        self.hashes.len += written as u64;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.filled));
            self.block.update(now);
            self.filled += now.len();
            if self.filled == BLOCK {
                self.end_block();
            }
            rest = later;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A file that is read block by block, each compared with its hash first: what
/// [`super::ParquetReader`] decodes is what was written.
pub struct CheckedSource<R> {
    hashes: BlockHashes,
    state: Mutex<State<R>>,
}

struct State<R> {
    source: R,
    /// Blocks that were checked, the latest last.
    kept: VecDeque<(usize, Bytes)>,
}

impl<R: Read + Seek> CheckedSource<R> {
    /// Reads `source`, of which these are the hashes.
    pub fn new(source: R, hashes: BlockHashes) -> Self {
        Self { hashes, state: Mutex::new(State { source, kept: VecDeque::new() }) }
    }

    fn read(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.hashes.len);
        let Some(end) = end else {
            let message = format!("{length} bytes at {start} lie past the end");
            return Err(ParquetError::EOF(message));
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = ((start / BLOCK as u64) as usize, end.div_ceil(BLOCK as u64) as usize);
        let skip = (start - (first * BLOCK) as u64) as usize;
        if last <= first + 1 && length > 0 {
            return Ok(state.block(first, &self.hashes)?.slice(skip..skip + length));
        }
        let mut bytes = Vec::with_capacity((last - first) * BLOCK);
        for block in first..last {
            bytes.extend_from_slice(&state.block(block, &self.hashes)?);
        }
        Ok(Bytes::from(bytes).slice(skip..skip + length))
    }
}

impl<R: Read + Seek> State<R> {
    fn block(&mut self, number: usize, hashes: &BlockHashes) -> Result<Bytes> {
        if let Some((_, bytes)) = self.kept.iter().find(|(kept, _)| *kept == number) {
            return Ok(bytes.clone());
        }
        let start = (number * BLOCK) as u64;
        let len = (hashes.len - start).min(BLOCK as u64) as usize;
        let mut bytes = vec![0; len];
        self.source.seek(SeekFrom::Start(start))?;
        self.source.read_exact(&mut bytes)?;
        if hash_of(&bytes) != hashes.hashes[number] {
            let message = format!("the {len} bytes from {start} are not what was written");
            return Err(ParquetError::General(message));
        }
        let bytes = Bytes::from(bytes);
        self.kept.truncate(KEPT - 1);
        self.kept.push_front((number, bytes.clone()));
        Ok(bytes)
    }
}

impl<R: Send> Length for CheckedSource<R> {
    fn len(&self) -> u64 {
        self.hashes.len
    }
}

impl<R: Read + Seek + Send> ChunkReader for CheckedSource<R> {
    type T = BufReader<io::Cursor<Bytes>>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        // `SharedSource` asks for ranges only; who asks for the rest gets it whole.
        let rest = usize::try_from(self.hashes.len.saturating_sub(start)).unwrap_or(usize::MAX);
        Ok(BufReader::new(io::Cursor::new(self.read(start, rest)?)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.read(start, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(len: usize) -> (Vec<u8>, BlockHashes) {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
        let mut writer = HashingWriter::new(Vec::new());
        bytes.chunks(100_003).for_each(|chunk| writer.write_all(chunk).expect("memory"));
        let (written, hashes) = writer.finish();
        assert_eq!((&written, hashes.len()), (&bytes, len as u64));
        (bytes, hashes)
    }

    #[test]
    fn what_was_written_is_read() {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
            let (bytes, hashes) = file(len);
            assert_eq!(BlockHashes::from_bytes(&hashes.to_bytes()), Some(hashes.clone()));
            assert_eq!(hashes.first_difference(bytes.as_slice()).expect("memory"), None);
            let source = CheckedSource::new(io::Cursor::new(bytes.clone()), hashes);
            for (start, end) in [(0, len), (len / 2, len), (len / 3, len / 2), (len, len)] {
                let read = source.get_bytes(start as u64, end - start).expect("in range");
                assert_eq!(read, bytes[start..end], "{len}: {start}..{end}");
            }
            assert!(source.get_bytes(0, len + 1).is_err());
        }
    }

    #[test]
    fn a_flipped_bit_is_never_passed_on() {
        let (bytes, hashes) = file(2 * BLOCK + 100);
        for place in [0, 5, BLOCK, 2 * BLOCK + 99] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            let found = hashes.first_difference(damaged.as_slice()).expect("memory");
            assert_eq!(found, Some((place / BLOCK * BLOCK) as u64));
            let source = CheckedSource::new(io::Cursor::new(damaged), hashes.clone());
            assert!(source.get_bytes(place as u64, 1).is_err());
            let other = if place < BLOCK { BLOCK } else { 0 };
            assert_eq!(source.get_bytes(other as u64, 9).expect("whole"), bytes[other..other + 9]);
        }
    }

    #[test]
    fn a_file_of_another_length_is_another_file() {
        let (mut bytes, hashes) = file(BLOCK + 5);
        assert!(hashes.first_difference(&bytes[..BLOCK]).expect("memory").is_some());
        bytes.push(0);
        assert!(hashes.first_difference(bytes.as_slice()).expect("memory").is_some());
        assert_eq!(BlockHashes::from_bytes(&hashes.to_bytes()[..20]), None);
    }
}
