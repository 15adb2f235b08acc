//! Entries: the samples of a scan in few bytes each, since there may be millions.

use voxflow_contract::{Batch, BatchError, ContentHash, Entry, SampleId};

use crate::store::RowKey;

/// Samples in the order of their ids. Their text lies in one string; a class or stamp that is that
/// of the sample before, and an id that its path begins with, lie there once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    text: String,
    rows: Vec<Row>,
}

/// Where the parts of one sample lie in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    sample: Span,
    category: Span,
    path: Option<Span>,
    stamp: Span,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed(4))]
struct Span {
    start: u64,
    len: u32,
}

impl Entries {
    /// Packs samples that a source listed.
    pub(crate) fn new(entries: &[Entry]) -> Self {
        let mut packed = Self { text: String::new(), rows: Vec::with_capacity(entries.len()) };
        for entry in entries {
            packed.push(entry);
        }
        packed.text.shrink_to_fit();
        packed
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The samples at these positions, as the source listed them.
    pub(crate) fn unpack(&self, positions: &[u32]) -> Vec<Entry> {
        positions.iter().map(|&i| self.entry(&self.rows[i as usize])).collect()
    }

    /// Id of the sample at a position.
    pub fn sample(&self, position: usize) -> &str {
        self.of(self.rows[position].sample)
    }

    /// Class of the sample at a position.
    pub fn category(&self, position: usize) -> &str {
        self.of(self.rows[position].category)
    }

    /// What changes when the sample at a position changes.
    pub fn stamp(&self, position: usize) -> &str {
        self.of(self.rows[position].stamp)
    }

    /// What the rows of the sample at a position are kept under when its content is this.
    pub(crate) fn key(&self, position: usize, content: &ContentHash) -> RowKey {
        let path = self.path(position).unwrap_or_default();
        RowKey::of(self.sample(position), self.category(position), path, content)
    }

    /// Positions and contents of the samples of rows.
    ///
    /// # Errors
    /// When a key column is missing, or a sample is not among these.
    pub(crate) fn contents_of(&self, rows: &Batch) -> Result<Vec<(usize, ContentHash)>, String> {
        let no_column = |e: BatchError| e.to_string();
        let samples = rows.utf8("sample").map_err(no_column)?;
        let contents = rows.fixed_binary("content").map_err(no_column)?;
        let of_row = |(row, position): (usize, Option<usize>)| {
            let mut content = [0; ContentHash::LEN];
            content.copy_from_slice(contents.value(row));
            let position = position
                .ok_or_else(|| format!("no source lists sample `{}`", samples.value(row)))?;
            Ok((position, ContentHash::from_bytes(content)))
        };
        self.positions(samples.values_iter()).enumerate().map(of_row).collect()
    }

    /// What rows of these samples are kept under.
    ///
    /// # Errors
    /// As [`Entries::contents_of`].
    pub(crate) fn keys_of(&self, rows: &Batch) -> Result<Vec<RowKey>, String> {
        let contents = self.contents_of(rows)?;
        Ok(contents.iter().map(|(position, content)| self.key(*position, content)).collect())
    }

    /// File of the sample at a position, where it has one.
    pub(crate) fn path(&self, position: usize) -> Option<&str> {
        self.rows[position].path.map(|path| self.of(path))
    }

    /// Size of the sample at a position.
    pub fn bytes(&self, position: usize) -> u64 {
        self.rows[position].bytes
    }

    /// Position of a sample.
    pub fn position(&self, sample: &str) -> Option<usize> {
        self.rows.binary_search_by(|row| self.of(row.sample).cmp(sample)).ok()
    }

    /// Positions of samples, found fast where they follow each other as they do here.
    pub(crate) fn positions<'a>(
        &'a self,
        samples: impl Iterator<Item = &'a str>,
    ) -> impl Iterator<Item = Option<usize>> {
        let mut next = 0;
        samples.map(move |sample| {
            let is_next = self.rows.get(next).is_some_and(|row| self.of(row.sample) == sample);
            let found = if is_next { Some(next) } else { self.position(sample) };
            next = found.map_or(next, |position| position + 1);
            found
        })
    }

    /// The file of a sample, where it has one.
    pub(crate) fn path_of(&self, sample: &str) -> Option<&str> {
        self.position(sample).and_then(|i| self.rows[i].path).map(|path| self.of(path))
    }

    /// Whether a sample is listed here as it is there.
    pub(crate) fn is_same(&self, position: usize, other: &Self, at: usize) -> bool {
        self.stamp(position) == other.stamp(at)
            && self.sample(position) == other.sample(at)
            && self.category(position) == other.category(at)
            && self.path(position) == other.path(at)
            && self.bytes(position) == other.bytes(at)
    }

    /// Puts a sample at a position, or after the last. Text of the one that was there stays, until
    /// [`Entries::compact`].
    pub(crate) fn set(&mut self, position: usize, entry: &Entry) {
        let row = self.packed(entry, self.rows.get(position).copied());
        match self.rows.get_mut(position) {
            Some(place) => *place = row,
            None => self.rows.push(row),
        }
    }

    /// Bytes of text, also of what was put somewhere and is there no more.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Forgets the text of all but the samples at some positions.
    pub(crate) fn compact(&mut self, live: &[u32]) {
        let empty = Span { start: 0, len: 0 };
        let none = Row { sample: empty, category: empty, path: None, stamp: empty, bytes: 0 };
        let mut packed = Self { text: String::new(), rows: vec![none; self.rows.len()] };
        let mut before = None;
        for &position in live {
            let entry = self.entry(&self.rows[position as usize]);
            let row = packed.packed(&entry, before);
            packed.rows[position as usize] = row;
            before = Some(row);
        }
        packed.text.shrink_to_fit();
        *self = packed;
    }

    fn push(&mut self, entry: &Entry) {
        let row = self.packed(entry, self.rows.last().copied());
        self.rows.push(row);
    }

    /// Adds the text of a sample, as far as it is not that of another before it.
    fn packed(&mut self, entry: &Entry, before: Option<Row>) -> Row {
        let sample = entry.sample.as_str();
        let path = entry.path.as_deref().map(|path| self.add(path));
        let sample = match (path, &entry.path) {
            (Some(span), Some(path)) if path.starts_with(sample) => {
                Span { start: span.start, len: sample.len() as u32 }
            }
            _ => self.add(sample),
        };
        let category = self.add_unless(before.map(|row| row.category), &entry.category);
        let stamp = self.add_unless(before.map(|row| row.stamp), &entry.stamp);
        Row { sample, category, path, stamp, bytes: entry.bytes }
    }

    fn add_unless(&mut self, before: Option<Span>, text: &str) -> Span {
        before.filter(|span| self.of(*span) == text).unwrap_or_else(|| self.add(text))
    }

    fn add(&mut self, text: &str) -> Span {
        let start = self.text.len() as u64;
        self.text.push_str(text);
        Span { start, len: text.len() as u32 }
    }

    fn of(&self, span: Span) -> &str {
        let start = span.start as usize;
        &self.text[start..start + span.len as usize]
    }

    fn entry(&self, row: &Row) -> Entry {
        Entry {
            sample: SampleId::new(self.of(row.sample)).expect("it was an id when it was packed"),
            category: self.of(row.category).to_owned(),
            path: row.path.map(|path| self.of(path).to_owned()),
            bytes: row.bytes,
            stamp: self.of(row.stamp).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_what_repeats_lies_there_once() {
        let entry = |sample: &str, category: &str, path: Option<&str>, stamp: &str| Entry {
            sample: SampleId::new(sample).expect("an id"),
            category: category.to_owned(),
            path: path.map(str::to_owned),
            bytes: stamp.len() as u64,
            stamp: stamp.to_owned(),
        };
        let entries = [
            entry("chair/a", "chair", Some("chair/a.off"), "1"),
            entry("chair/b", "chair", Some("other/b.off"), "1"),
            entry("table/a", "table", None, "2"),
        ];
        let packed = Entries::new(&entries);
        assert_eq!(packed.unpack(&[0, 1, 2]), entries);
        assert_eq!(packed.unpack(&[1]), entries[1..2]);
        assert_eq!(packed.text, "chair/a.offchair1other/b.offchair/btable/atable2");
        assert_eq!(packed.path_of("chair/b"), Some("other/b.off"));
        assert_eq!(packed.path_of("table/a"), None);
        assert_eq!(packed.path_of("none"), None);
    }
}
