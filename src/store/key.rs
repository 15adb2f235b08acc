//! `RowKey`: what a sample's rows are kept under.

use std::hash::{BuildHasherDefault, Hasher};

use voxflow_contract::ContentHash;

/// The first 128 bits of a BLAKE3 hash over a sample's id, class, path and content: all that an
/// operator may look at of a sample that it is given. The path tells a format by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowKey(pub(crate) [u8; RowKey::LEN]);

impl RowKey {
    /// Bytes of a key.
    pub(crate) const LEN: usize = 16;

    /// The key of a sample.
    pub(crate) fn of(sample: &str, category: &str, path: &str, content: &ContentHash) -> Self {
        let texts = [sample.as_bytes(), category.as_bytes(), path.as_bytes(), content.as_bytes()];
        Self(hash_of(&texts))
    }
}

/// Texts of so many bytes together are hashed at once, which is a third of the cost of one by one.
const AT_ONCE: usize = 512;

/// The first 128 bits of the BLAKE3 hash of several texts, each with its length.
pub(crate) fn hash_of(texts: &[&[u8]]) -> [u8; RowKey::LEN] {
    let len: usize = texts.iter().map(|text| text.len() + size_of::<u64>()).sum();
    let parts = texts.iter().map(|text| ((text.len() as u64).to_le_bytes(), *text));
    let hash = if len <= AT_ONCE {
        let (mut all, mut end) = ([0; AT_ONCE], 0);
        for (len, text) in parts {
            for bytes in [&len, text] {
                all[end..end + bytes.len()].copy_from_slice(bytes);
                end += bytes.len();
            }
        }
        blake3::hash(&all[..end])
    } else {
        let mut hasher = blake3::Hasher::new();
        for (len, text) in parts {
            hasher.update(&len).update(text);
        }
        hasher.finalize()
    };
    let mut first = [0; RowKey::LEN];
    first.copy_from_slice(&hash.as_bytes()[..RowKey::LEN]);
    first
}

/// As [`hash_of`], in hexadecimal.
pub(crate) fn fingerprint_of(texts: &[&[u8]]) -> String {
    hash_of(texts).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hasher for keys that are hashes already.
#[derive(Default)]
pub(crate) struct Unhashed(u64);

/// For maps whose keys are hashes.
pub(crate) type ByHash = BuildHasherDefault<Unhashed>;

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length that arrays announce: all keys are of one.
    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_are_hashed_alike() {
        for len in [0, 1, 100, AT_ONCE - 16, AT_ONCE - 15, 5000] {
            let text = vec![7; len];
            let mut hasher = blake3::Hasher::new();
            for text in [&text[..], b""] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text);
            }
            assert_eq!(hash_of(&[&text, b""]), hasher.finalize().as_bytes()[..16], "{len}");
        }
    }
}
