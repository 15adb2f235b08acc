//! JGZ: one JSON array, gzipped, read one record at a time.

use std::io::{BufRead, BufReader, Read};
use std::marker::PhantomData;

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

use crate::error::FormatError;

/// Most bytes of a record, as JSON.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// The records of a gzipped JSON array, as values of `T`.
///
/// Memory is bounded by the largest record, which may have [`MAX_RECORD_BYTES`]. `NaN`, `Infinity`
/// and `-Infinity`, which Python writes and JSON lacks, are read as `null`. Offsets in errors count
/// bytes of the JSON. After a record that is no `T` the next one follows; after any other error none.
///
/// # Errors
/// Of each record: `bad_record` (it is no JSON, or no `T`), `truncated`, `bad_gzip`, `too_large`,
/// `bad_json` (no array, no comma, bytes after the array), `io`.
///
/// ```
/// use std::io::Write;
///
/// let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
/// gzip.write_all(b"[1, 2.5, 4]")?;
/// let file = gzip.finish()?;
/// let records: Result<Vec<f64>, _> = voxflow_formats::jgz::records(file.as_slice()).collect();
/// assert_eq!(records?, [1.0, 2.5, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn records<T: DeserializeOwned, R: Read>(reader: R) -> Records<T, R> {
    let json = BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(reader));
    Records { json, at: 0, count: 0, place: Place::Before, record: Vec::new(), value: PhantomData }
}

const BUFFER_BYTES: usize = 1 << 16;

/// Iterator over the records of a file; [`records`] makes it.
#[derive(Debug)]
pub struct Records<T, R> {
    json: BufReader<MultiGzDecoder<R>>,
    /// Bytes of JSON read so far.
    at: u64,
    /// Records begun so far.
    count: u64,
    place: Place,
    record: Vec<u8>,
    value: PhantomData<fn() -> T>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    First,
    Later,
    After,
}

impl<T: DeserializeOwned, R: Read> Iterator for Records<T, R> {
    type Item = Result<T, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.place == Place::After {
            return None;
        }
        match self.seek() {
            Ok(false) => {
                self.place = Place::After;
                return None;
            }
            Ok(true) => {}
            Err(error) => {
                self.place = Place::After;
                return Some(Err(error));
            }
        }
        let (start, number) = (self.at, self.count);
        self.count += 1;
        if let Err(error) = self.frame() {
            self.place = Place::After;
            return Some(Err(error));
        }
        Some(serde_json::from_slice(&self.record).map_err(|cause| {
            let message = format!("byte {start} of the JSON: record {number}: {cause}");
            FormatError { code: "bad_record", message, offset: Some(start) }
        }))
    }
}

impl<T, R: Read> Records<T, R> {
    /// Goes to the next record; `false` when the array has ended well.
    fn seek(&mut self) -> Result<bool, FormatError> {
        if self.place == Place::Before {
            match self.blank()? {
                Some(b'[') => self.skip(1),
                other => return Err(self.unexpected("an array", other)),
            }
            self.place = Place::First;
        }
        let next = self.blank()?;
        match (self.place, next) {
            (_, Some(b']')) => {
                self.skip(1);
                match self.blank()? {
                    None => return Ok(false),
                    other => return Err(self.unexpected("the end of the file", other)),
                }
            }
            (Place::Later, Some(b',')) => self.skip(1),
            (Place::Later, other) => return Err(self.unexpected("a comma or the end", other)),
            _ => {}
        }
        self.place = Place::Later;
        match self.blank()? {
            other @ (None | Some(b',' | b']' | b'}' | b':')) => {
                Err(self.unexpected("a record", other))
            }
            Some(_) => Ok(true),
        }
    }

    /// Takes the next record into `record`, whatever is in it.
    fn frame(&mut self) -> Result<(), FormatError> {
        self.record.clear();
        let mut frame = Frame::default();
        while !frame.is_whole {
            let buffer = fill(&mut self.json, self.at)?;
            if buffer.is_empty() {
                return Err(truncated(self.at));
            }
            let len = frame.take(buffer);
            self.record.extend_from_slice(&buffer[..len]);
            self.skip(len);
            if self.record.len() > MAX_RECORD_BYTES {
                let message = format!(
                    "byte {} of the JSON: a record has more than {MAX_RECORD_BYTES} bytes",
                    self.at
                );
                return Err(FormatError { code: "too_large", message, offset: Some(self.at) });
            }
        }
        if frame.has_bare_words {
            self.record = without_bare_words(&self.record);
        }
        Ok(())
    }

    /// The next byte that is no blank, which stays to be read.
    fn blank(&mut self) -> Result<Option<u8>, FormatError> {
        loop {
            let buffer = fill(&mut self.json, self.at)?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let is_json_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            match buffer.iter().position(|byte| !is_json_blank(byte)) {
                Some(len) => {
                    let byte = buffer[len];
                    self.skip(len);
                    return Ok(Some(byte));
                }
                None => {
                    let len = buffer.len();
                    self.skip(len);
                }
            }
        }
    }

    fn skip(&mut self, len: usize) {
        self.json.consume(len);
        self.at += len as u64;
    }

    fn unexpected(&self, expected: &str, found: Option<u8>) -> FormatError {
        let at = self.at;
        let Some(byte) = found else { return truncated(at) };
        let found = byte.escape_ascii();
        let message = format!("byte {at} of the JSON: expected {expected}, found `{found}`");
        FormatError { code: "bad_json", message, offset: Some(at) }
    }
}

fn truncated(at: u64) -> FormatError {
    let message = format!("the file ends inside the array, after {at} bytes of JSON");
    FormatError { code: "truncated", message, offset: Some(at) }
}

/// Bytes that are there to be read; none at the end of the file.
fn fill<R: Read>(json: &mut BufReader<MultiGzDecoder<R>>, at: u64) -> Result<&[u8], FormatError> {
    use std::io::ErrorKind;
    json.fill_buf().map_err(|cause| match cause.kind() {
        ErrorKind::UnexpectedEof => truncated(at),
        kind => {
            let is_content = matches!(kind, ErrorKind::InvalidInput | ErrorKind::InvalidData);
            let code = if is_content { "bad_gzip" } else { "io" };
            let message = format!("after {at} bytes of JSON: cannot decompress: {cause}");
            FormatError { code, message, offset: Some(at) }
        }
    })
}

/// How far a record has come: where it ends is known without understanding it.
#[derive(Debug, Default)]
struct Frame {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    /// Whether a byte was taken.
    has_begun: bool,
    is_whole: bool,
    /// Whether a letter that no JSON has stands outside of texts.
    has_bare_words: bool,
}

impl Frame {
    /// The number of bytes that belong to the record; it is whole, or all do.
    fn take(&mut self, bytes: &[u8]) -> usize {
        for (i, byte) in bytes.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => {
                        self.in_text = false;
                        self.is_whole = self.depth == 0;
                    }
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_text = true,
                    b'{' | b'[' => self.depth += 1,
                    // A number or a word ends before what ends the array.
                    b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' if self.depth == 0 => {
                        self.is_whole = self.has_begun;
                        return i;
                    }
                    b'}' | b']' => {
                        self.depth -= 1;
                        self.is_whole = self.depth == 0;
                    }
                    b'N' | b'I' => self.has_bare_words = true,
                    _ => {}
                }
            }
            self.has_begun = true;
            if self.is_whole {
                return i + 1;
            }
        }
        bytes.len()
    }
}

/// JSON with `null` for the words that Python writes for numbers that are none.
fn without_bare_words(json: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(json.len());
    let (mut rest, mut in_text) = (json, false);
    while let Some(&byte) = rest.first() {
        let bare = [&b"NaN"[..], b"-Infinity", b"Infinity"];
        let word = bare.into_iter().find(|word| !in_text && rest.starts_with(word));
        if let Some(word) = word {
            plain.extend_from_slice(b"null");
            rest = &rest[word.len()..];
            continue;
        }
        let len = if in_text && byte == b'\\' { rest.len().min(2) } else { 1 };
        in_text ^= byte == b'"';
        plain.extend_from_slice(&rest[..len]);
        rest = &rest[len..];
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::Value;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }

    /// A reader that gives one byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = buffer.len().min(1);
            self.0.read(&mut buffer[..len])
        }
    }

    /// `expected` is the records as JSON, errors as `code: message`.
    fn check(file: &[u8], expected: &[&str]) {
        let show = |record: Result<Value, FormatError>| match record {
            Ok(value) => value.to_string(),
            Err(e) => format!("{}: {}", e.code, e.message),
        };
        let found: Vec<_> = records(file).map(show).collect();
        assert_eq!(found, expected);
        assert_eq!(records(Drops(file)).map(show).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn records_of_every_sort() {
        check(&gzip(b"[]"), &[]);
        check(&gzip(b" \n[ ] \n"), &[]);
        check(
            &gzip(br#"[{"a":"}]\"[","b":[1,{}]} , "x\\",-1.5e3,null,[[],[]],true]"#),
            &[r#"{"a":"}]\"[","b":[1,{}]}"#, r#""x\\""#, "-1500.0", "null", "[[],[]]", "true"],
        );
        check(
            &gzip(br#"[{"NaN":NaN,"b":"NaN \" Infinity"},-Infinity,[Infinity,NaN]]"#),
            &[r#"{"NaN":null,"b":"NaN \" Infinity"}"#, "null", "[null,null]"],
        );
        let two_members = [gzip(b"[1,"), gzip(b"2]")].concat();
        check(&two_members, &["1", "2"]);
    }

    #[test]
    fn records_that_are_no_json_do_not_hide_the_next() {
        check(
            &gzip(b"[1,{\"a\" 2},nul,3]"),
            &[
                "1",
                "bad_record: byte 3 of the JSON: record 1: expected `:` at line 1 column 6",
                "bad_record: byte 11 of the JSON: record 2: EOF while parsing a value at line 1 \
                 column 3",
                "3",
            ],
        );
        let numbers: Vec<_> = records::<u8, _>(gzip(b"[1,\"a\",300,4]").as_slice()).collect();
        assert_eq!(numbers.iter().filter(|number| number.is_ok()).count(), 2);
    }

    #[test]
    fn refusals() {
        check(b"", &["truncated: the file ends inside the array, after 0 bytes of JSON"]);
        check(
            b"[1]12345678901234567890",
            &["bad_gzip: after 0 bytes of JSON: cannot decompress: invalid gzip header"],
        );
        check(&gzip(b""), &["truncated: the file ends inside the array, after 0 bytes of JSON"]);
        check(&gzip(b"{}"), &["bad_json: byte 0 of the JSON: expected an array, found `{`"]);
        check(
            &gzip(b"[1 2]"),
            &["1", "bad_json: byte 3 of the JSON: expected a comma or the end, found `2`"],
        );
        check(&gzip(b"[1,]"), &["1", "bad_json: byte 3 of the JSON: expected a record, found `]`"]);
        check(
            &gzip(b"[1] 2"),
            &["1", "bad_json: byte 4 of the JSON: expected the end of the file, found `2`"],
        );
        check(
            &gzip(b"[1,{"),
            &["1", "truncated: the file ends inside the array, after 4 bytes of JSON"],
        );
        let whole = gzip(b"[1]");
        let cut = records::<Value, _>(&whole[..whole.len() - 9]).last().expect("an error");
        assert_eq!(cut.expect_err("cut off").code, "truncated");
    }

    #[test]
    fn long_records_cross_buffers() {
        let text = "x".repeat(3 * BUFFER_BYTES);
        let file = gzip(format!("[\"{text}\",\"{text}\"]").as_bytes());
        let read: Vec<String> = records(file.as_slice()).map(|r| r.expect("a text")).collect();
        assert_eq!(read, [text.clone(), text]);
    }
}
