//! `Listing`: the samples of a scan in few bytes each, since there may be millions.

use crate::id::SampleId;
use crate::stage::Entry;

/// Samples by position. Their text lies in one string; a class or stamp that is that of the sample
/// before, and an id that its path begins with, lie there once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
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

/// A sample of a [`Listing`], or one to be put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Unique id.
    pub sample: &'a str,
    /// Class.
    pub category: &'a str,
    /// File, relative to the source's root; `None` for samples that come from no file.
    pub path: Option<&'a str>,
    /// Size in bytes, or what the sample will take in memory when it comes from no file.
    pub bytes: u64,
    /// What changes when the sample changes.
    pub stamp: &'a str,
}

impl<'a> From<&'a Entry> for Listed<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            sample: entry.sample.as_str(),
            category: &entry.category,
            path: entry.path.as_deref(),
            bytes: entry.bytes,
            stamp: &entry.stamp,
        }
    }
}

impl Listing {
    /// Packs samples that were listed one by one.
    pub fn of(entries: &[Entry]) -> Self {
        let mut packed = Self { text: String::new(), rows: Vec::with_capacity(entries.len()) };
        entries.iter().for_each(|entry| packed.push(entry.into()));
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

    /// The sample at a position.
    pub fn get(&self, position: usize) -> Listed<'_> {
        let row = &self.rows[position];
        Listed {
            sample: self.of_span(row.sample),
            category: self.of_span(row.category),
            path: row.path.map(|path| self.of_span(path)),
            bytes: row.bytes,
            stamp: self.of_span(row.stamp),
        }
    }

    /// The samples at these positions, one by one.
    pub fn unpack(&self, positions: &[u32]) -> Vec<Entry> {
        positions.iter().map(|position| self.entry(*position as usize)).collect()
    }

    /// Id of the sample at a position.
    pub fn sample(&self, position: usize) -> &str {
        self.of_span(self.rows[position].sample)
    }

    /// Class of the sample at a position.
    pub fn category(&self, position: usize) -> &str {
        self.of_span(self.rows[position].category)
    }

    /// What changes when the sample at a position changes.
    pub fn stamp(&self, position: usize) -> &str {
        self.of_span(self.rows[position].stamp)
    }

    /// File of the sample at a position, where it has one.
    pub fn path(&self, position: usize) -> Option<&str> {
        self.rows[position].path.map(|path| self.of_span(path))
    }

    /// Size of the sample at a position.
    pub fn bytes(&self, position: usize) -> u64 {
        self.rows[position].bytes
    }

    /// Position of a sample, in a listing that is sorted by id.
    pub fn position(&self, sample: &str) -> Option<usize> {
        self.rows.binary_search_by(|row| self.of_span(row.sample).cmp(sample)).ok()
    }

    /// Adds a sample after the last.
    pub fn push(&mut self, sample: Listed<'_>) {
        let row = self.packed(sample, self.rows.last().copied());
        self.rows.push(row);
    }

    /// Puts a sample at a position, or after the last. Text of the one that was there stays, until
    /// [`Listing::compact`].
    pub fn set(&mut self, position: usize, sample: Listed<'_>) {
        let row = self.packed(sample, self.rows.get(position).copied());
        match self.rows.get_mut(position) {
            Some(place) => *place = row,
            None => self.rows.push(row),
        }
    }

    /// Sorts by id.
    pub fn sort(&mut self) {
        if self.rows.is_sorted_by(|a, b| self.of_span(a.sample) <= self.of_span(b.sample)) {
            return;
        }
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by(|a, b| self.of_span(a.sample).cmp(self.of_span(b.sample)));
        self.rows = rows;
    }

    /// The first sample that does not come after the one before it.
    pub fn first_out_of_order(&self) -> Option<&str> {
        let of = |row: &Row| self.of_span(row.sample);
        let pair = self.rows.windows(2).find(|pair| of(&pair[0]) >= of(&pair[1]))?;
        Some(of(&pair[1]))
    }

    /// Bytes of text, also of what was put somewhere and is there no more.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Forgets the text of all but the samples at some positions.
    pub fn compact(&mut self, live: &[u32]) {
        let empty = Span { start: 0, len: 0 };
        let none = Row { sample: empty, category: empty, path: None, stamp: empty, bytes: 0 };
        let mut packed = Self { text: String::new(), rows: vec![none; self.rows.len()] };
        let mut before = None;
        for position in live.iter().map(|position| *position as usize) {
            let row = packed.packed(self.get(position), before);
            packed.rows[position] = row;
            before = Some(row);
        }
        packed.text.shrink_to_fit();
        *self = packed;
    }

    /// Adds the text of a sample, as far as it is not that of another before it.
    fn packed(&mut self, listed: Listed<'_>, before: Option<Row>) -> Row {
        let Listed { sample, category, path, bytes, stamp } = listed;
        let span = path.map(|path| self.add(path));
        let sample = match (span, path) {
            (Some(span), Some(path)) if path.starts_with(sample) => {
                Span { start: span.start, len: sample.len() as u32 }
            }
            _ => self.add(sample),
        };
        let category = self.add_unless(before.map(|row| row.category), category);
        let stamp = self.add_unless(before.map(|row| row.stamp), stamp);
        Row { sample, category, path: span, stamp, bytes }
    }

    fn add_unless(&mut self, before: Option<Span>, text: &str) -> Span {
        before.filter(|span| self.of_span(*span) == text).unwrap_or_else(|| self.add(text))
    }

    fn add(&mut self, text: &str) -> Span {
        let start = self.text.len() as u64;
        self.text.push_str(text);
        Span { start, len: text.len() as u32 }
    }

    fn of_span(&self, span: Span) -> &str {
        let start = span.start as usize;
        &self.text[start..start + span.len as usize]
    }

    fn entry(&self, position: usize) -> Entry {
        let Listed { sample, category, path, bytes, stamp } = self.get(position);
        Entry {
            sample: SampleId::new(sample).expect("it was an id when it was packed"),
            category: category.to_owned(),
            path: path.map(str::to_owned),
            bytes,
            stamp: stamp.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sample: &str, category: &str, path: Option<&str>, stamp: &str) -> Entry {
        Entry {
            sample: SampleId::new(sample).expect("an id"),
            category: category.to_owned(),
            path: path.map(str::to_owned),
            bytes: stamp.len() as u64,
            stamp: stamp.to_owned(),
        }
    }

    #[test]
    fn what_is_packed_comes_back_and_what_repeats_lies_there_once() {
        let entries = [
            entry("chair/a", "chair", Some("chair/a.off"), "1"),
            entry("chair/b", "chair", Some("other/b.off"), "1"),
            entry("table/a", "table", None, "2"),
        ];
        let packed = Listing::of(&entries);
        assert_eq!(packed.unpack(&[0, 1, 2]), entries);
        assert_eq!(packed.unpack(&[1]), entries[1..2]);
        assert_eq!(packed.text, "chair/a.offchair1other/b.offchair/btable/atable2");
        assert_eq!(packed.position("chair/b"), Some(1));
        assert_eq!(packed.path(1), Some("other/b.off"));
        assert_eq!((packed.position("none"), packed.path(2)), (None, None));
    }

    #[test]
    fn samples_are_sorted_replaced_and_forgotten() {
        let [a, b, c] = ["a", "b", "c"].map(|id| entry(id, "class", None, id));
        let mut listing = Listing::of(&[b.clone(), a.clone()]);
        assert_eq!(listing.first_out_of_order(), Some("a"));
        listing.sort();
        assert_eq!(listing, listing.clone());
        assert_eq!(listing.unpack(&[0, 1]), [a.clone(), b.clone()]);
        assert_eq!(listing.first_out_of_order(), None);
        listing.set(0, (&c).into());
        listing.set(2, (&a).into());
        assert_eq!(listing.unpack(&[0, 1, 2]), [c.clone(), b, a.clone()]);
        let before = listing.text_bytes();
        listing.compact(&[2, 0]);
        assert_eq!(listing.unpack(&[2, 0]), [a, c]);
        assert!(listing.text_bytes() < before);
    }
}
