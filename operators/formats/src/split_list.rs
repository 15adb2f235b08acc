//! Lists of samples and the part of a split that each belongs to: CSV and JSON lines.

use std::borrow::Cow;

use serde::Deserialize;
use voxflow_contract::{AssignmentList, PARTS};

/// Mistakes that are told of a list at most.
const MOST_FAULTS: usize = 20;

/// What is wrong with a line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, as a sentence without its full stop.
    pub message: String,
}

/// Number of a part in [`PARTS`].
///
/// # Errors
/// Says which parts there are.
pub fn part_named(name: &str) -> Result<u8, String> {
    let known = PARTS.iter().zip(0..).find(|(part, _)| **part == name);
    let wrong = || format!("`{name}` is no part of a split, these are: {}", PARTS.join(", "));
    known.map(|(_, number)| number).ok_or_else(wrong)
}

/// Reads a list in the form of CSV (RFC 4180, UTF-8): a header that names columns `sample` and `split`,
/// in any order and among others, then a line for each sample. Empty lines are passed over.
///
/// # Errors
/// The first mistakes, by line: no such header, a line without one of the two, an empty id, a part that
/// is none of train, val and test, a quote that does not end.
///
/// ```
/// let list = voxflow_formats::split_list::decode_csv(b"sample,split\nchair/1,test\n");
/// assert_eq!(list.expect("a list").finish().expect("once").part("chair/1"), Some(2));
/// ```
pub fn decode_csv(bytes: &[u8]) -> Result<AssignmentList, Vec<LineFault>> {
    let text = text_of(bytes)?;
    let mut records = Records { text, line: 1 };
    let mut reading = Reading::default();
    let Some((line, header)) = records.next() else {
        return Err(vec![fault(1, "is empty, a list begins with `sample,split`")]);
    };
    let header = header.map_err(|message| vec![fault(line, message)])?;
    let place = |name: &str| header.iter().position(|column| column.trim() == name);
    let (Some(sample), Some(split)) = (place("sample"), place("split")) else {
        let message = format!(
            "the header must name columns `sample` and `split`, it is: {}",
            header.join(",")
        );
        return Err(vec![fault(line, message)]);
    };
    for (line, record) in records {
        let added = record.and_then(|record| {
            let missing = |name: &str| format!("has {} columns, no `{name}`", record.len());
            let id = record.get(sample).ok_or_else(|| missing("sample"))?;
            let part = record.get(split).ok_or_else(|| missing("split"))?;
            reading.add(id, part, line)
        });
        if !reading.goes_on(line, added) {
            break;
        }
    }
    reading.finish()
}

/// Reads a list in the form of JSON lines: an object with texts `sample` and `split` on each line. Other
/// members and empty lines are passed over.
///
/// # Errors
/// As [`decode_csv`].
pub fn decode_json_lines(bytes: &[u8]) -> Result<AssignmentList, Vec<LineFault>> {
    let mut reading = Reading::default();
    for (text, line) in text_of(bytes)?.lines().zip(1..) {
        if text.trim().is_empty() {
            continue;
        }
        let parsed: Result<Line<'_>, _> = serde_json::from_str(text);
        let parsed = parsed.map_err(|e| {
            // The line is said already, and it is not the first of a text of its own.
            let cause = e.to_string();
            let cause = cause.split(" at line ").next().unwrap_or_default();
            format!("is no object with texts `sample` and `split`: {cause}")
        });
        let added = parsed.and_then(|parsed| reading.add(&parsed.sample, &parsed.split, line));
        if !reading.goes_on(line, added) {
            break;
        }
    }
    reading.finish()
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    sample: Cow<'a, str>,
    #[serde(borrow)]
    split: Cow<'a, str>,
}

fn fault(line: usize, message: impl Into<String>) -> LineFault {
    LineFault { line, message: message.into() }
}

/// The text, without a byte order mark.
fn text_of(bytes: &[u8]) -> Result<&str, Vec<LineFault>> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        vec![fault(line, "is not UTF-8")]
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// What was read so far, and what was wrong.
#[derive(Default)]
struct Reading {
    list: AssignmentList,
    faults: Vec<LineFault>,
}

impl Reading {
    fn add(&mut self, sample: &str, split: &str, line: usize) -> Result<(), String> {
        if sample.is_empty() {
            return Err("the sample's id is empty".to_owned());
        }
        self.list.push(sample, part_named(split)?, line);
        Ok(())
    }

    /// Notes what was wrong with a line; says whether it is worth to go on.
    fn goes_on(&mut self, line: usize, added: Result<(), String>) -> bool {
        self.faults.extend(added.err().map(|message| fault(line, message)));
        self.faults.len() < MOST_FAULTS
    }

    fn finish(self) -> Result<AssignmentList, Vec<LineFault>> {
        if self.faults.is_empty() { Ok(self.list) } else { Err(self.faults) }
    }
}

/// Fields of a line, or what is wrong with it.
type Record<'a> = Result<Vec<Cow<'a, str>>, String>;

/// The records of a CSV text that are not empty, each with the line it begins on.
struct Records<'a> {
    text: &'a str,
    line: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = (usize, Record<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.text.is_empty() {
                return None;
            }
            let line = self.line;
            match self.record() {
                Ok(record) if record.iter().all(|field| field.trim().is_empty()) => {}
                record => return Some((line, record)),
            }
        }
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Record<'a> {
        let mut fields = Vec::new();
        loop {
            let is_quoted = self.text.starts_with('"');
            fields.push(if is_quoted { self.quoted()? } else { Cow::Borrowed(self.plain()) });
            if let Some(rest) = self.text.strip_prefix(',') {
                self.text = rest;
                continue;
            }
            let rest = self.text.strip_prefix('\r').unwrap_or(self.text);
            if !rest.is_empty() && !rest.starts_with('\n') {
                self.skip_line();
                return Err("something follows a closing quote".to_owned());
            }
            self.skip_line();
            return Ok(fields);
        }
    }

    /// Takes a field that is not in quotes: to the next comma or the end of the line.
    fn plain(&mut self) -> &'a str {
        let end = self.text.find([',', '\n']).unwrap_or(self.text.len());
        let field = &self.text[..end];
        self.text = &self.text[end..];
        // A carriage return belongs to the end of a line, not to a field before a comma.
        if self.text.starts_with(',') { field } else { field.strip_suffix('\r').unwrap_or(field) }
    }

    /// Takes a field in quotes, in which two quotes stand for one and lines may end.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let mut field = Cow::Borrowed("");
        loop {
            // The text begins with a quote: the first, or the second of two.
            let inside = &self.text[1..];
            let Some(end) = inside.find('"') else {
                self.text = "";
                return Err("a quote is never closed".to_owned());
            };
            self.line += inside[..end].matches('\n').count();
            self.text = &inside[end + 1..];
            let is_doubled = self.text.starts_with('"');
            let piece = if is_doubled { &inside[..=end] } else { &inside[..end] };
            match &mut field {
                Cow::Borrowed("") => field = Cow::Borrowed(piece),
                whole => whole.to_mut().push_str(piece),
            }
            if !is_doubled {
                return Ok(field);
            }
        }
    }

    fn skip_line(&mut self) {
        let end = self.text.find('\n').map_or(self.text.len(), |end| end + 1);
        self.text = &self.text[end..];
        self.line += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rows = Vec<(String, u8)>;
    type Decode = fn(&[u8]) -> Result<AssignmentList, Vec<LineFault>>;

    fn check(decode: Decode, text: &str) -> Result<Rows, Vec<(usize, String)>> {
        let list = decode(text.as_bytes()).map_err(|faults| {
            faults.into_iter().map(|f| (f.line, f.message)).collect::<Vec<_>>()
        })?;
        let list = list.finish().expect("each id once");
        Ok((0..list.len())
            .map(|i| (list.id(i).to_owned(), list.part(list.id(i)).expect("it is listed")))
            .collect())
    }

    fn rows(rows: &[(&str, u8)]) -> Result<Rows, Vec<(usize, String)>> {
        Ok(rows.iter().map(|(id, part)| ((*id).to_owned(), *part)).collect())
    }

    fn wrong(faults: &[(usize, &str)]) -> Result<Rows, Vec<(usize, String)>> {
        Err(faults.iter().map(|(line, message)| (*line, (*message).to_owned())).collect())
    }

    #[test]
    fn tables_of_any_program_are_read() {
        let all = rows(&[("a/1", 0), ("b, \"c\"", 2), ("d\ne", 1)]);
        let quoted = "sample,split\na/1,train\n\"b, \"\"c\"\"\",test\n\"d\ne\",val\n";
        assert_eq!(check(decode_csv, quoted), all);
        assert_eq!(check(decode_csv, &quoted.replace(",val\n", ",val")), all);
        let excel = "\u{feff}split,class,sample\r\ntrain,x,a\r\n\r\n\"val\",\"\",\"b\"\r\n";
        assert_eq!(check(decode_csv, excel), rows(&[("a", 0), ("b", 1)]));
        let lines = "{\"sample\":\"a\\n\",\"split\":\"test\",\"n\":3}\n\n{\"split\":\"val\",\"sample\":\"b\"}";
        assert_eq!(check(decode_json_lines, lines), rows(&[("a\n", 2), ("b", 1)]));
        assert_eq!(check(decode_csv, "sample,split\n"), rows(&[]));
    }

    #[test]
    fn mistakes_are_told_by_line() {
        let none = "`valid` is no part of a split, these are: train, val, test";
        let text = "sample,split\n\"a\n1\",train\nb,valid\nc\n,test\n\"d\"x,test\n\"e,val\n";
        let told = [
            (4, none),
            (5, "has 1 columns, no `split`"),
            (6, "the sample's id is empty"),
            (7, "something follows a closing quote"),
            (8, "a quote is never closed"),
        ];
        assert_eq!(check(decode_csv, text), wrong(&told));
        let header = "the header must name columns `sample` and `split`, it is: id,split";
        assert_eq!(check(decode_csv, "id,split\n"), wrong(&[(1, header)]));
        let empty = "is empty, a list begins with `sample,split`";
        assert_eq!(check(decode_csv, ""), wrong(&[(1, empty)]));
        let no_object = "is no object with texts `sample` and `split`: missing field `split`";
        let lines = "{\"sample\":\"a\"}\n{\"sample\":\"b\",\"split\":\"valid\"}\n";
        assert_eq!(check(decode_json_lines, lines), wrong(&[(1, no_object), (2, none)]));
        let found = decode_csv(b"sample,split\na,val\n\xff,val\n").expect_err("no UTF-8");
        assert_eq!(found, [fault(3, "is not UTF-8")]);
        let many = format!("sample,split\n{}", "x\n".repeat(100));
        assert_eq!(decode_csv(many.as_bytes()).expect_err("many").len(), MOST_FAULTS);
    }
}
