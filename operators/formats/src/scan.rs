//! Bytes of text, word by word: what every codec with text in it reads through.

use fast_float2::FastFloat;

use crate::error::FormatError;
use crate::numbers::{f32_at, f64_at};

/// A place in a text, with the number of its line.
///
/// Lines end at LF, CRLF or a lone CR; a backslash before a line end joins two lines; `#` begins a
/// comment that lasts to the line end. Nothing is copied and nothing is allocated but messages.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Scanner<'a> {
    /// The start of a text, after the byte order mark of UTF-8 where there is one.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { bytes, at, line: 1 }
    }

    /// Byte offset of the place.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Line of the place, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The whole text.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Goes on at byte `offset`, `lines` lines further down.
    pub(crate) fn jump(&mut self, offset: usize, lines: u64) {
        self.at = offset;
        self.line += lines;
    }

    /// What is left of this line but for blanks at both ends: a name, which may hold blanks. A
    /// comment does not belong to it.
    pub(crate) fn rest_of_line(&mut self) -> &'a [u8] {
        let start = self.at;
        let is_comment = |at: usize| {
            self.bytes[at] == b'#' && (at == start || self.bytes[at - 1].is_ascii_whitespace())
        };
        let len = (start..self.bytes.len())
            .take_while(|at| !matches!(self.bytes[*at], b'\n' | b'\r') && !is_comment(*at))
            .count();
        self.at += len;
        self.bytes[start..self.at].trim_ascii()
    }

    /// Bytes from the place to the end of the text.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next word of this line, or `None` at its end.
    pub(crate) fn word(&mut self) -> Option<&'a [u8]> {
        self.skip_blanks();
        let start = self.at;
        while !self.ends_word(self.at) {
            self.at += 1;
        }
        (self.at > start).then(|| &self.bytes[start..self.at])
    }

    /// Goes back into the word that was just read, to its last `len` bytes.
    pub(crate) fn unread(&mut self, len: usize) {
        self.at = self.at.saturating_sub(len);
    }

    /// Goes to the next word of this or a later line; `false` when there is none.
    pub(crate) fn seek(&mut self) -> bool {
        loop {
            if !self.at_line_end() {
                return true;
            }
            if !self.skip_line() {
                return false;
            }
        }
    }

    /// Whether no word is left on this line.
    pub(crate) fn at_line_end(&mut self) -> bool {
        self.skip_blanks();
        self.ends_word(self.at)
    }

    /// Goes to the start of the next line; `false` when this was the last.
    pub(crate) fn skip_line(&mut self) -> bool {
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            let lone_return = byte == b'\r' && self.bytes.get(self.at) != Some(&b'\n');
            if byte == b'\n' || lone_return {
                self.line += 1;
                return true;
            }
        }
        false
    }

    /// Goes to the start of the next statement: a line that a backslash continues counts as one.
    pub(crate) fn skip_statement(&mut self) {
        while self.word().is_some() {}
        self.skip_line();
    }

    /// The next `len` bytes as they are, or `None` when there are fewer.
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(bytes)
    }

    /// The next number of this line; `what` says in messages what it is.
    pub(crate) fn number<T: FastFloat>(&mut self, what: &str) -> Result<T, FormatError> {
        self.skip_blanks();
        match fast_float2::parse_partial::<T, _>(self.rest()) {
            Ok((value, len)) if len > 0 && self.ends_word(self.at + len) => {
                self.at += len;
                Ok(value)
            }
            _ => Err(self.unexpected("bad_number", what)),
        }
    }

    /// The next whole number of this line; `what` says in messages what it is.
    pub(crate) fn integer(&mut self, what: &str) -> Result<i64, FormatError> {
        self.skip_blanks();
        match integer_prefix(self.rest()) {
            Some((value, len)) if self.ends_word(self.at + len) => {
                self.at += len;
                Ok(value)
            }
            _ => Err(self.unexpected("bad_number", what)),
        }
    }

    /// The next whole number of this line that is not negative.
    pub(crate) fn count(&mut self, what: &str) -> Result<u64, FormatError> {
        self.skip_blanks();
        let start = self.at;
        let value = self.integer(what)?;
        u64::try_from(value)
            .map_err(|_| self.error("bad_count", start, format_args!("{what} is {value}")))
    }

    /// [`Self::number`] as an `f32`, the ordinary ones quickly.
    pub(crate) fn single(&mut self, what: &str) -> Result<f32, FormatError> {
        self.skip_blanks();
        match f32_at(self.bytes, self.at) {
            Some((value, end)) if self.ends_word(end) => {
                self.at = end;
                Ok(value)
            }
            _ => self.number(what),
        }
    }

    /// [`Self::number`] as an `f64`, the ordinary ones quickly.
    pub(crate) fn double(&mut self, what: &str) -> Result<f64, FormatError> {
        self.skip_blanks();
        match f64_at(self.bytes, self.at) {
            Some((value, end)) if self.ends_word(end) => {
                self.at = end;
                Ok(value)
            }
            _ => self.number(what),
        }
    }

    /// The numbers left on this line, as many as fit `row`, and how many they are; one that is no
    /// number ends them.
    pub(crate) fn more_numbers(&mut self, row: &mut [f32]) -> usize {
        let mut count = 0;
        while count < row.len() && !self.at_line_end() {
            let Ok(value) = self.single("a number") else { break };
            row[count] = value;
            count += 1;
        }
        count
    }

    /// The next three numbers of this line, which must be finite.
    pub(crate) fn vertex(&mut self) -> Result<[f32; 3], FormatError> {
        self.skip_blanks();
        let start = self.at;
        let mut vertex = [0.0_f32; 3];
        for coordinate in &mut vertex {
            *coordinate = self.single("a coordinate")?;
        }
        if vertex.iter().all(|x| x.is_finite()) {
            return Ok(vertex);
        }
        let [x, y, z] = vertex;
        Err(self.error("not_finite", start, format_args!("vertex {x} {y} {z} is not finite")))
    }

    /// An error at byte `offset` of this line.
    pub(crate) fn error(
        &self,
        code: &'static str,
        offset: usize,
        message: impl std::fmt::Display,
    ) -> FormatError {
        error(code, offset, format_args!("line {}: {message}", self.line))
    }

    /// The error that something else than `expected` stands here: `truncated` at the end of the
    /// text, else `code`.
    pub(crate) fn unexpected(&self, code: &'static str, expected: &str) -> FormatError {
        let (mut probe, start) = (self.clone(), self.at);
        let expected = format_args!("expected {expected}, found");
        match probe.word() {
            Some(word) => {
                let shown = String::from_utf8_lossy(&word[..word.len().min(32)]);
                self.error(code, start, format_args!("{expected} `{}`", shown.escape_debug()))
            }
            None if probe.rest().is_empty() => {
                self.error("truncated", start, format_args!("{expected} the end of the file"))
            }
            None => self.error(code, start, format_args!("{expected} the end of the line")),
        }
    }

    fn skip_blanks(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            let blank = byte <= b' ' && !self.ends_line(self.at);
            let joins = byte == b'\\' && self.line_end_len(self.at + 1) > 0;
            if blank {
                self.at += 1;
            } else if joins {
                self.at += 1 + self.line_end_len(self.at + 1);
                self.line += 1;
            } else {
                return;
            }
        }
    }

    fn ends_word(&self, at: usize) -> bool {
        match self.bytes.get(at) {
            None => true,
            Some(b'\\') => self.line_end_len(at + 1) > 0,
            Some(&byte) => byte <= b' ' || byte == b'#',
        }
    }

    /// Whether a line ends with the byte at `at`; the CR of a CRLF does not end it.
    fn ends_line(&self, at: usize) -> bool {
        match self.bytes.get(at) {
            Some(b'\n') => true,
            Some(b'\r') => self.bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        }
    }

    /// Length of the line end at `at`; 0 when there is none.
    fn line_end_len(&self, at: usize) -> usize {
        match (self.bytes.get(at), self.bytes.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => 2,
            (Some(b'\r' | b'\n'), _) => 1,
            _ => 0,
        }
    }
}

/// An error at a byte offset.
pub(crate) fn error(
    code: &'static str,
    offset: usize,
    message: impl std::fmt::Display,
) -> FormatError {
    FormatError { code, message: message.to_string(), offset: Some(offset as u64) }
}

/// The whole number that bytes begin with, and its length; `None` when there is none or it does
/// not fit.
pub(crate) fn integer_prefix(bytes: &[u8]) -> Option<(i64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let digits = bytes[sign..].iter().take_while(|byte| byte.is_ascii_digit());
    let (mut value, mut len) = (0_i64, sign);
    for digit in digits {
        value = value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
        len += 1;
    }
    (len > sign).then_some((if negative { -value } else { value }, len))
}

/// Items to make room for when a header promises `promised`, `bytes` bytes are left, and an item
/// takes at least `least` of them: a header alone never makes a reader allocate.
pub(crate) fn bounded(promised: u64, bytes: usize, least: usize) -> usize {
    usize::try_from(promised).unwrap_or(usize::MAX).min(bytes / least + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut scanner = Scanner::new(text.as_bytes());
        let mut words = Vec::new();
        while scanner.seek() {
            let word = scanner.word().expect("seek found a word");
            words.push(format!("{}:{}", scanner.line(), String::from_utf8_lossy(word)));
        }
        words
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(words(text), expected, "{text:?}");
    }

    #[test]
    fn words_and_lines() {
        check("", &[]);
        check("\u{feff}a b", &["1:a", "1:b"]);
        check(" \t a\r\nb\rc\n\n d", &["1:a", "2:b", "3:c", "5:d"]);
        check("a # b\n#c\nd#e", &["1:a", "3:d"]);
        check("a \\\n b\\\r\nc \\x", &["1:a", "2:b", "3:c", "3:\\x"]);
        check("a \\", &["1:a", "1:\\"]);
        check("# only\\\nb", &["2:b"]);
    }

    #[test]
    fn integers() {
        assert_eq!(integer_prefix(b"12/3"), Some((12, 2)));
        assert_eq!(integer_prefix(b"-7"), Some((-7, 2)));
        assert_eq!(integer_prefix(b"+7 "), Some((7, 2)));
        assert_eq!(integer_prefix(b"-"), None);
        assert_eq!(integer_prefix(b""), None);
        assert_eq!(integer_prefix(b"99999999999999999999"), None);
    }

    #[test]
    fn errors_name_line_and_offset() {
        let mut scanner = Scanner::new(b"1\n2 1,5 3");
        scanner.skip_line();
        let error = scanner.vertex().expect_err("a comma is no decimal point");
        assert_eq!(error.code, "bad_number");
        assert_eq!(error.message, "line 2: expected a coordinate, found `1,5`");
        assert_eq!(error.offset, Some(4));
    }
}
