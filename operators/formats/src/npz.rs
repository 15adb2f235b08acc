//! NPZ: several named arrays in one ZIP file, as `numpy.savez` and `savez_compressed` write it.
//!
//! Reads the part of ZIP (PKWARE APPNOTE 6.3) that numpy writes: stored and deflated members, sizes
//! of 32 and 64 bits. Members are found by the central directory.

use std::io::Write;

use flate2::Crc;
use flate2::write::DeflateEncoder;
use voxflow_contract::VoxelGrid;

use crate::error::FormatError;
use crate::inflate::{Deflated, MOST_EXPANSION, inflate};
use crate::npy::{self, NpyArray};
use crate::scan::error;

/// An open NPZ file; arrays are read one by one.
///
/// ```
/// use voxflow_formats::npy::{NpyArray, NpyData};
/// use voxflow_formats::npz::{Compression, NpzFile, encode};
///
/// let array = NpyArray { shape: vec![2], data: NpyData::I16(vec![-1, 7]) };
/// let bytes = encode(&[("steps", &array)], Compression::Deflate)?;
/// let file = NpzFile::open(&bytes)?;
/// assert_eq!(file.names().collect::<Vec<_>>(), ["steps"]);
/// assert_eq!(file.array("steps")?, array);
/// # Ok::<(), voxflow_formats::FormatError>(())
/// ```
#[derive(Debug)]
pub struct NpzFile<'a> {
    bytes: &'a [u8],
    members: Vec<Member>,
}

/// Whether arrays are compressed when they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As `numpy.savez`.
    Store,
    /// As `numpy.savez_compressed`.
    Deflate,
}

/// A member of the archive, as the central directory has it.
#[derive(Debug)]
struct Member {
    /// Without `.npy`.
    name: String,
    method: u16,
    is_encrypted: bool,
    crc: u32,
    packed_len: usize,
    len: usize,
    /// Where its local header begins.
    header: usize,
}

impl<'a> NpzFile<'a> {
    /// Finds the arrays of a file. Members whose names do not end in `.npy` are passed over.
    ///
    /// # Errors
    /// `empty`, `bad_header` (no ZIP file), `truncated`, `unsupported` (one of several disks),
    /// `bad_length` (members hold more bytes than the file: they overlap).
    pub fn open(bytes: &'a [u8]) -> Result<Self, FormatError> {
        if bytes.is_empty() {
            return Err(error("empty", 0, "the file holds no bytes"));
        }
        let (start, count) = directory(bytes)?;
        let mut reader = Bytes { bytes, at: start };
        let mut members = Vec::new();
        let mut packed = 0_usize;
        for _ in 0..count {
            let (name, member) = Member::read(&mut reader)?;
            packed = packed.saturating_add(member.packed_len);
            if packed > bytes.len() {
                let message = "members of the archive hold more bytes than the file";
                return Err(error("bad_length", reader.at, message));
            }
            if let Some(name) = name.strip_suffix(".npy") {
                members.push(Member { name: name.to_owned(), ..member });
            }
        }
        Ok(Self { bytes, members })
    }

    /// The names of the arrays, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// Reads the array of a name.
    ///
    /// # Errors
    /// `no_array` when there is none of this name; `unsupported` (pickled objects, encryption, a
    /// compression other than deflate), `truncated`, `bad_archive` (a member that is not what the
    /// directory says), and what [`npy::decode`] refuses.
    pub fn array(&self, name: &str) -> Result<NpyArray, FormatError> {
        let found = self.members.iter().find(|member| member.name == name);
        let member = found.ok_or_else(|| {
            let known: Vec<_> = self.names().take(16).collect();
            let message = format!("there is no array `{name}`, there are: {}", known.join(", "));
            FormatError { code: "no_array", message, offset: None }
        })?;
        self.read(member)
    }

    /// Reads all arrays, with their names, in the order of the file.
    ///
    /// # Errors
    /// As [`NpzFile::array`], of the first that cannot be read.
    pub fn arrays(&self) -> Result<Vec<(String, NpyArray)>, FormatError> {
        self.members.iter().map(|member| Ok((member.name.clone(), self.read(member)?))).collect()
    }

    /// The grid of the one array that is a cube; see [`NpyArray::to_grid`].
    ///
    /// # Errors
    /// `no_grid` when none of the arrays that can be read is a cube, or more than one is.
    pub fn only_grid(&self, threshold: f64) -> Result<VoxelGrid, FormatError> {
        let read = |member: &Member| Some((member.name.clone(), self.read(member).ok()?));
        let readable = self.members.iter().filter_map(read);
        only_grid(readable.map(|(name, array)| (name, array.to_grid(threshold))))
    }

    fn read(&self, member: &Member) -> Result<NpyArray, FormatError> {
        let (name, start) = (&member.name, member.header);
        let named = |e: FormatError| FormatError { message: format!("array `{name}`: {e}"), ..e };
        if member.is_encrypted {
            return Err(named(error("unsupported", start, "it is encrypted")));
        }
        let packed = member.packed(self.bytes).map_err(named)?;
        match member.method {
            0 => member.parse(packed).map_err(named),
            8 => {
                let refused = |cause| {
                    error("bad_archive", start, format_args!("it cannot be decompressed: {cause}"))
                };
                let whole =
                    inflate(packed, Deflated::Raw, member.len).map_err(refused).map_err(named)?;
                member.parse(&whole).map_err(named)
            }
            other => {
                let message = format_args!("its compression {other} is neither 0 nor 8 (deflate)");
                Err(named(error("unsupported", start, message)))
            }
        }
    }
}

/// The one grid among things that have names.
pub(crate) fn only_grid(
    all: impl Iterator<Item = (String, Result<VoxelGrid, FormatError>)>,
) -> Result<VoxelGrid, FormatError> {
    let grids = all.filter_map(|(name, grid)| Some((name, grid.ok()?)));
    let mut grids: Vec<(String, VoxelGrid)> = grids.take(2).collect();
    match (grids.pop(), grids.pop()) {
        (Some((_, grid)), None) => Ok(grid),
        (Some((second, _)), Some((first, _))) => {
            let message = format!("both `{first}` and `{second}` are cubes: which is the grid?");
            Err(refusal("no_grid", &message))
        }
        _ => Err(refusal("no_grid", "no array of the file is a cube")),
    }
}

impl Member {
    /// The next entry of the central directory, and the member's whole name.
    fn read(reader: &mut Bytes<'_>) -> Result<(String, Self), FormatError> {
        let start = reader.at;
        if reader.u32()? != CENTRAL {
            return Err(error(
                "bad_header",
                start,
                "the directory of the archive has no entry here",
            ));
        }
        reader.skip(4)?;
        let (flags, method) = (reader.u16()?, reader.u16()?);
        reader.skip(4)?;
        let crc = reader.u32()?;
        let (packed_len, len) = (u64::from(reader.u32()?), u64::from(reader.u32()?));
        let [name_len, extra_len, comment_len] = [reader.u16()?, reader.u16()?, reader.u16()?];
        reader.skip(8)?;
        let header = u64::from(reader.u32()?);
        let name = String::from_utf8_lossy(reader.take(usize::from(name_len))?).into_owned();
        let extra = reader.take(usize::from(extra_len))?;
        reader.skip(usize::from(comment_len))?;
        // In the order in which the extra field has those that did not fit.
        let mut sizes = [len, packed_len, header];
        wide_sizes(extra, &mut sizes);
        let [len, packed_len, header] =
            sizes.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let is_encrypted = flags & 1 == 1;
        let member =
            Self { name: String::new(), method, is_encrypted, crc, packed_len, len, header };
        Ok((name, member))
    }

    /// The bytes of the member, as they lie in the file.
    fn packed<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FormatError> {
        let mut reader = Bytes { bytes, at: self.header };
        if reader.u32()? != LOCAL {
            return Err(error("bad_archive", self.header, "the archive has no member here"));
        }
        reader.skip(22)?;
        let (name_len, extra_len) = (reader.u16()?, reader.u16()?);
        reader.skip(usize::from(name_len) + usize::from(extra_len))?;
        reader.take(self.packed_len)
    }

    fn parse(&self, whole: &[u8]) -> Result<NpyArray, FormatError> {
        let mut crc = Crc::new();
        crc.update(whole);
        if whole.len() != self.len || crc.sum() != self.crc {
            let message = "its length or checksum is not the one in the archive's directory";
            return Err(error("bad_archive", self.header, message));
        }
        npy::decode(whole)
    }
}

/// Sizes and an offset that are too large for 32 bits (all ones there) out of the ZIP64 extra field.
fn wide_sizes(extra: &[u8], sizes: &mut [u64; 3]) {
    let mut reader = Bytes { bytes: extra, at: 0 };
    while let (Ok(kind), Ok(len)) = (reader.u16(), reader.u16()) {
        let Ok(body) = reader.take(usize::from(len)) else { return };
        if kind == 1 {
            let mut words = body.as_chunks::<8>().0.iter();
            for size in sizes.iter_mut().filter(|size| **size == u64::from(u32::MAX)) {
                *size = words.next().map_or(*size, |word| u64::from_le_bytes(*word));
            }
        }
    }
}

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
/// The end record without its comment.
const END_LEN: usize = 22;

/// Where the central directory begins, and how many entries it has.
fn directory(bytes: &[u8]) -> Result<(usize, u64), FormatError> {
    let end = find_end(bytes)
        .ok_or_else(|| error("bad_header", 0, "the file is no ZIP file, or its end is cut off"))?;
    let mut reader = Bytes { bytes, at: end + 4 };
    let (disk, first_disk) = (reader.u16()?, reader.u16()?);
    let (here, count) = (reader.u16()?, reader.u16()?);
    reader.skip(4)?;
    let start = reader.u32()?;
    let is_wide = start == u32::MAX || count == u16::MAX;
    if let Some((start, count)) = is_wide.then(|| wide_directory(bytes, end)).flatten() {
        return Ok((start, count));
    }
    if (disk, first_disk) != (0, 0) || here != count {
        return Err(error("unsupported", end, "the archive is one of several disks"));
    }
    Ok((start as usize, u64::from(count)))
}

/// The end record: the last place that has its mark and a comment that reaches to the file's end.
fn find_end(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LEN)?;
    (last.saturating_sub(usize::from(u16::MAX))..=last).rev().find(|at| {
        let mut reader = Bytes { bytes, at: *at };
        let is_end = reader.u32().is_ok_and(|mark| mark == END) && reader.skip(16).is_ok();
        is_end && reader.u16().is_ok_and(|len| reader.at + usize::from(len) == bytes.len())
    })
}

/// The same out of the ZIP64 record, which a locator before the end record points to.
fn wide_directory(bytes: &[u8], end: usize) -> Option<(usize, u64)> {
    let mut reader = Bytes { bytes, at: end.checked_sub(20)? };
    if reader.u32().ok()? != END_64_LOCATOR {
        return None;
    }
    reader.skip(4).ok()?;
    let mut reader = Bytes { bytes, at: usize::try_from(reader.u64().ok()?).ok()? };
    if reader.u32().ok()? != END_64 {
        return None;
    }
    reader.skip(28).ok()?;
    let count = reader.u64().ok()?;
    reader.skip(8).ok()?;
    Some((usize::try_from(reader.u64().ok()?).ok()?, count))
}

/// A place in bytes that are read as little-endian numbers.
struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(len);
        let found = end.and_then(|end| self.bytes.get(self.at..end));
        let found = found.ok_or_else(|| {
            let offset = self.at.min(self.bytes.len());
            error("truncated", offset, "the archive points behind the end of the file")
        })?;
        self.at += len;
        Ok(found)
    }

    fn skip(&mut self, len: usize) -> Result<(), FormatError> {
        self.take(len).map(|_| ())
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let bytes = self.take(N)?;
        let mut chunk = [0; N];
        chunk.copy_from_slice(bytes);
        Ok(chunk)
    }

    fn u16(&mut self) -> Result<u16, FormatError> {
        self.chunk().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        self.chunk().map(u64::from_le_bytes)
    }
}

/// Writes arrays under their names, in this order; equal arrays give equal bytes.
///
/// # Errors
/// `bad_name` when a name is empty, longer than 65,000 bytes or given twice; `too_large` when the
/// file would have more than 4 GiB or 65,535 arrays.
///
/// # Panics
/// When an array does not hold as many numbers as its shape says, as [`npy::encode`].
pub fn encode(
    arrays: &[(&str, &NpyArray)],
    compression: Compression,
) -> Result<Vec<u8>, FormatError> {
    let (mut bytes, mut central) = (Vec::new(), Vec::new());
    for (i, (name, array)) in arrays.iter().enumerate() {
        let is_again = arrays[..i].iter().any(|(earlier, _)| earlier == name);
        if name.is_empty() || name.len() > 65_000 || is_again {
            let shown: String = name.chars().take(64).collect();
            return Err(refusal("bad_name", &format!("`{shown}` is no name for an array here")));
        }
        push_member(&mut bytes, &mut central, name, &npy::encode(array), compression)?;
    }
    let count = u16::try_from(arrays.len()).ok().filter(|count| *count < u16::MAX);
    let count =
        count.ok_or_else(|| refusal("too_large", "an archive has at most 65,534 arrays"))?;
    let (start, len) = (size(bytes.len())?, size(central.len())?);
    bytes.append(&mut central);
    for number in [END, 0] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&start.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    Ok(bytes)
}

fn push_member(
    bytes: &mut Vec<u8>,
    central: &mut Vec<u8>,
    name: &str,
    whole: &[u8],
    compression: Compression,
) -> Result<(), FormatError> {
    let name = format!("{name}.npy");
    let mut crc = Crc::new();
    crc.update(whole);
    let (method, packed) = match compression {
        Compression::Store => (0_u16, std::borrow::Cow::Borrowed(whole)),
        Compression::Deflate => (8, std::borrow::Cow::Owned(deflate(whole)?)),
    };
    let start = size(bytes.len())?;
    let mut fields = Vec::new();
    // Version 2.0 is needed; names are UTF-8; the date is the first that can be said.
    for number in [20, 1 << 11, method, 0, 0x21] {
        fields.extend_from_slice(&number.to_le_bytes());
    }
    for number in [crc.sum(), size(packed.len())?, size(whole.len())?] {
        fields.extend_from_slice(&number.to_le_bytes());
    }
    fields.extend_from_slice(&(name.len() as u16).to_le_bytes());
    fields.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&LOCAL.to_le_bytes());
    bytes.extend_from_slice(&fields);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&packed);
    central.extend_from_slice(&CENTRAL.to_le_bytes());
    central.extend_from_slice(&20_u16.to_le_bytes());
    central.extend_from_slice(&fields);
    central.extend_from_slice(&[0; 10]);
    central.extend_from_slice(&start.to_le_bytes());
    central.extend_from_slice(name.as_bytes());
    Ok(())
}

fn deflate(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    packed.map_err(|cause| refusal("bad_archive", &format!("cannot compress an array: {cause}")))
}

fn size(len: usize) -> Result<u32, FormatError> {
    let size = u32::try_from(len).ok().filter(|size| *size < u32::MAX);
    size.ok_or_else(|| refusal("too_large", "an archive of more than 4 GiB is not written"))
}

fn refusal(code: &'static str, message: &str) -> FormatError {
    FormatError { code, message: message.to_owned(), offset: None }
}

/// Most bytes that reading one array may take for each byte of the file: what deflate can stand for,
/// read into numbers of another width and reordered.
pub const MOST_BYTES_A_BYTE: usize = 4 * MOST_EXPANSION;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::NpyData;

    fn arrays() -> Vec<(&'static str, NpyArray)> {
        vec![
            ("zeros", NpyArray { shape: vec![100, 100], data: NpyData::Bool(vec![false; 10_000]) }),
            ("ä/b", NpyArray { shape: vec![2], data: NpyData::F64(vec![1.5, -2.0]) }),
            ("none", NpyArray { shape: vec![0, 3], data: NpyData::I64(vec![]) }),
        ]
    }

    fn file(compression: Compression) -> Vec<u8> {
        let arrays = arrays();
        let named: Vec<_> = arrays.iter().map(|(name, array)| (*name, array)).collect();
        encode(&named, compression).expect("names that are right")
    }

    /// `expected` is `code: message` of opening the file, or of reading its first array.
    fn check(bytes: &[u8], expected: &str) {
        let read = |file: NpzFile<'_>| {
            let name = file.names().next().unwrap_or("none").to_owned();
            file.array(&name)
        };
        let error = NpzFile::open(bytes).and_then(read).expect_err("a file that is not right");
        assert_eq!(format!("{}: {}", error.code, error.message), expected);
    }

    #[test]
    fn what_is_written_is_read() {
        for compression in [Compression::Store, Compression::Deflate] {
            let bytes = file(compression);
            let read = NpzFile::open(&bytes).and_then(|file| file.arrays()).expect("our own file");
            let found: Vec<_> = read.iter().map(|(n, array)| (n.as_str(), array.clone())).collect();
            assert_eq!(found, arrays());
        }
        assert!(file(Compression::Deflate).len() < 1500);
    }

    #[test]
    fn the_only_cube_is_the_grid() {
        let cube =
            NpyArray { shape: vec![2, 2, 2], data: NpyData::U8(vec![0, 0, 0, 7, 0, 0, 0, 0]) };
        let flat = NpyArray { shape: vec![2], data: NpyData::U8(vec![1, 1]) };
        let grid = |arrays: &[(&str, &NpyArray)]| {
            let bytes = encode(arrays, Compression::Store).expect("names that are right");
            NpzFile::open(&bytes).and_then(|file| file.only_grid(0.5))
        };
        assert!(grid(&[("a", &flat), ("b", &cube)]).expect("a cube").get(0, 1, 1));
        assert_eq!(
            grid(&[("a", &flat)]).expect_err("no cube").message,
            "no array of the file is a cube"
        );
        let error = grid(&[("a", &cube), ("b", &cube)]).expect_err("two cubes");
        assert_eq!(error.message, "both `a` and `b` are cubes: which is the grid?");
    }

    #[test]
    fn names_that_cannot_be() {
        let array = &arrays()[1].1;
        for names in [vec![("", array)], vec![("a", array), ("a", array)]] {
            let error = encode(&names, Compression::Store).expect_err("a bad name");
            assert_eq!(error.code, "bad_name");
        }
    }

    #[test]
    fn refusals() {
        check(b"", "empty: the file holds no bytes");
        check(b"PK", "bad_header: the file is no ZIP file, or its end is cut off");
        let bytes = file(Compression::Deflate);
        let cut = &bytes[..bytes.len() - 1];
        check(cut, "bad_header: the file is no ZIP file, or its end is cut off");
        let changed = |at: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            bytes
        };
        let central = bytes.windows(4).position(|mark| mark == CENTRAL.to_le_bytes());
        let central = central.expect("a directory");
        check(&changed(central + 8, 1), "unsupported: array `zeros`: it is encrypted");
        check(
            &changed(central + 10, 12),
            "unsupported: array `zeros`: its compression 12 is neither 0 nor 8 (deflate)",
        );
        check(
            &changed(central + 16, 0),
            "bad_archive: array `zeros`: its length or checksum is not the one in the archive's \
             directory",
        );
        check(
            &changed(central + 24, 1),
            "bad_archive: array `zeros`: it cannot be decompressed: it holds more bytes than it \
             should",
        );
        check(
            &changed(central + 42, 9),
            "bad_archive: array `zeros`: the archive has no member here",
        );
        check(
            &changed(central + 22, 9),
            "bad_length: members of the archive hold more bytes than the file",
        );
        check(
            &changed(bytes.len() - 4, 9),
            "truncated: the archive points behind the end of the file",
        );
        let unknown = NpzFile::open(&bytes).and_then(|file| file.array("x")).expect_err("no array");
        assert_eq!(unknown.message, "there is no array `x`, there are: zeros, ä/b, none");
    }

    #[test]
    fn pickled_arrays_are_refused_by_name() {
        let dict = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n";
        let mut npy = b"\x93NUMPY\x01\x00".to_vec();
        npy.extend((dict.len() as u16).to_le_bytes());
        npy.extend(dict.as_bytes());
        let (mut bytes, mut central) = (Vec::new(), Vec::new());
        push_member(&mut bytes, &mut central, "images", &npy, Compression::Store)
            .expect("a member");
        let mut end = END.to_le_bytes().to_vec();
        end.extend_from_slice(&[0, 0, 0, 0, 1, 0, 1, 0]);
        end.extend_from_slice(&(central.len() as u32).to_le_bytes());
        end.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        let whole = [bytes, central, end, vec![0, 0]].concat();
        check(
            &whole,
            "unsupported: array `images`: the array has type `|O`: pickled objects are never read",
        );
    }
}
