//! What is known of a shard: the keys of its rows, the hashes of its file, and refusals.

use serde::{Deserialize, Serialize};
use voxflow_contract::Refusal;
use voxflow_formats::parquet::BlockHashes;

use super::key::RowKey;
use super::sealed;

const MAGIC: &[u8] = b"voxflow shard 1\n";

/// Rows of many samples at one stage, and samples that the stage refused.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shard {
    /// Rows of each row group of the file.
    pub(crate) groups: Vec<u32>,
    /// Hashes of the file; of no bytes where there is none.
    pub(crate) hashes: BlockHashes,
    /// The key of each row.
    pub(crate) keys: Vec<RowKey>,
    /// Samples that have no row, and why.
    pub(crate) refused: Vec<(RowKey, Refusal)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    groups: Vec<u32>,
    refused: Vec<([u8; RowKey::LEN], Refusal)>,
}

impl Shard {
    /// Layout: a line that names the form; length and text of a JSON object; length and bytes of the
    /// hashes; 16 bytes a row; the BLAKE3 hash of all that. Lengths are 8 bytes, little-endian.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let refused = self.refused.iter().map(|(key, refusal)| (key.0, refusal.clone())).collect();
        let head = Head { groups: self.groups.clone(), refused };
        let head = serde_json::to_vec(&head).unwrap_or_default();
        let mut bytes = MAGIC.to_vec();
        for section in [head, self.hashes.to_bytes()] {
            bytes.extend_from_slice(&(section.len() as u64).to_le_bytes());
            bytes.extend_from_slice(&section);
        }
        self.keys.iter().for_each(|key| bytes.extend_from_slice(&key.0));
        sealed::seal(bytes).0
    }

    /// Reads [`Shard::to_bytes`]; `None` when a byte of it is not what was written.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = section(sealed::open(bytes, MAGIC)?)?;
        let (hashes, rest) = section(rest)?;
        let Head { groups, refused } = serde_json::from_slice(head).ok()?;
        let (keys, tail) = rest.as_chunks::<{ RowKey::LEN }>();
        let rows: u64 = groups.iter().map(|rows| u64::from(*rows)).sum();
        let shard = Self {
            groups,
            hashes: BlockHashes::from_bytes(hashes)?,
            keys: keys.iter().map(|key| RowKey(*key)).collect(),
            refused: refused.into_iter().map(|(key, refusal)| (RowKey(key), refusal)).collect(),
        };
        (tail.is_empty() && rows == shard.keys.len() as u64).then_some(shard)
    }
}

fn section(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_comes_back_and_a_damaged_one_does_not() {
        let refusal = Refusal {
            stage: "voxels".to_owned(),
            sample: "a".to_owned(),
            code: "empty".to_owned(),
            message: "no triangles".to_owned(),
            path: None,
            offset: Some(3),
            attempt: 1,
            seconds: 0.1,
        };
        let shard = Shard {
            groups: vec![2, 1],
            hashes: BlockHashes::default(),
            keys: (0..3).map(|i| RowKey([i; 16])).collect(),
            refused: vec![(RowKey([9; 16]), refusal)],
        };
        let bytes = shard.to_bytes();
        assert_eq!(Shard::from_bytes(&bytes), Some(shard));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(Shard::from_bytes(&damaged), None, "{place}");
            assert_eq!(Shard::from_bytes(&bytes[..place]), None, "{place}");
        }
    }
}
