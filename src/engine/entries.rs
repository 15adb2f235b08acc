//! Entries: the samples of a scan, and what their rows are kept under.

use std::ops::{Deref, DerefMut};

use voxflow_contract::{Batch, BatchError, ContentHash, Listing};

use crate::store::RowKey;

/// Samples in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries(Listing);

impl From<Listing> for Entries {
    fn from(listing: Listing) -> Self {
        Self(listing)
    }
}

impl Deref for Entries {
    type Target = Listing;

    fn deref(&self) -> &Listing {
        &self.0
    }
}

impl DerefMut for Entries {
    fn deref_mut(&mut self) -> &mut Listing {
        &mut self.0
    }
}

impl Entries {
    /// Packs samples that were listed one by one.
    #[cfg(test)]
    pub(crate) fn of(entries: &[voxflow_contract::Entry]) -> Self {
        Self(Listing::of(entries))
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

    /// Positions of samples, found fast where they follow each other as they do here.
    fn positions<'a>(
        &'a self,
        samples: impl Iterator<Item = &'a str>,
    ) -> impl Iterator<Item = Option<usize>> {
        let mut next = 0;
        samples.map(move |sample| {
            let is_next = next < self.len() && self.sample(next) == sample;
            let found = if is_next { Some(next) } else { self.position(sample) };
            next = found.map_or(next, |position| position + 1);
            found
        })
    }

    /// The file of a sample, where it has one.
    pub(crate) fn path_of(&self, sample: &str) -> Option<&str> {
        self.position(sample).and_then(|position| self.path(position))
    }
}
