//! Compressed bytes, let out into bounded memory.

use std::io::Read;

use flate2::bufread::{DeflateDecoder, ZlibDecoder};

/// Most bytes that one byte of deflate can stand for: a match of 258 bytes in two bits, or nearly so.
pub(crate) const MOST_EXPANSION: usize = 1032;

/// How bytes were compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deflated {
    /// As they are (RFC 1951).
    Raw,
    /// In a zlib stream (RFC 1950).
    Zlib,
}

/// Lets out at most `limit` bytes, and never more than the input can stand for.
///
/// # Errors
/// What is wrong with the stream.
pub(crate) fn inflate(bytes: &[u8], how: Deflated, limit: usize) -> std::io::Result<Vec<u8>> {
    fn all(mut reader: impl Read, limit: usize) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        reader.by_ref().take(limit as u64).read_to_end(&mut out)?;
        if out.len() == limit && reader.read(&mut [0])? > 0 {
            return Err(std::io::Error::other("it holds more bytes than it should"));
        }
        Ok(out)
    }
    let limit = limit.min(bytes.len().saturating_mul(MOST_EXPANSION).saturating_add(64));
    match how {
        Deflated::Raw => all(DeflateDecoder::new(bytes), limit),
        Deflated::Zlib => all(ZlibDecoder::new(bytes), limit),
    }
}
