//! Sealed bytes: a line that names their form, what they say, and the BLAKE3 hash of both.

const HASH: usize = blake3::OUT_LEN;

/// Appends the hash of `bytes`, which begin with the name of their form; gives it, too.
pub(super) fn seal(mut bytes: Vec<u8>) -> (Vec<u8>, blake3::Hash) {
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    (bytes, hash)
}

/// What sealed bytes of this form say; `None` when a byte of them is not what was written.
pub(super) fn open<'a>(bytes: &'a [u8], form: &[u8]) -> Option<&'a [u8]> {
    let (bytes, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
    let said = bytes.strip_prefix(form)?;
    (blake3::hash(bytes).as_bytes() == hash).then_some(said)
}
