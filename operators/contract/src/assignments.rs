//! `Assignments`: which part of a split a list puts samples in.

use crate::id::ContentHash;

/// The parts of a split, in the order in which their quotas are filled.
pub const PARTS: [&str; 3] = ["train", "val", "test"];

/// Samples by id, each with the part of the split that a list puts it in.
///
/// ```
/// use voxflow_contract::AssignmentList;
///
/// let mut list = AssignmentList::default();
/// list.push("b", 2, 1);
/// list.push("a", 0, 2);
/// let assignments = list.finish().expect("nothing is listed twice");
/// assert_eq!((assignments.part("b"), assignments.part("c")), (Some(2), None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignments {
    /// All ids, sorted.
    list: AssignmentList,
    digest: ContentHash,
}

impl Assignments {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.list.parts.len()
    }

    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.list.parts.is_empty()
    }

    /// Number of the part in [`PARTS`] that a sample is put in, if it is listed.
    pub fn part(&self, sample: &str) -> Option<u8> {
        self.find(sample).map(|position| self.list.parts[position])
    }

    /// Position of a sample among those listed, in the order of ids.
    pub fn find(&self, sample: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.id(middle).cmp(sample) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Id of the sample at a position, in the order of ids.
    pub fn id(&self, position: usize) -> &str {
        self.list.id(position)
    }

    /// The same for every list that says the same, in whatever order and form.
    pub fn digest(&self) -> &ContentHash {
        &self.digest
    }
}

/// A sample that a list puts in two parts: by number of the part, and the places that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The sample.
    pub sample: String,
    /// The first part, and where that is said.
    pub first: (u8, usize),
    /// Another part, and where that is said.
    pub second: (u8, usize),
}

/// What becomes [`Assignments`]: samples in the order of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssignmentList {
    ids: String,
    /// Where each id ends.
    ends: Vec<usize>,
    parts: Vec<u8>,
    /// Line or row that says so.
    places: Vec<usize>,
}

impl AssignmentList {
    /// Adds that a sample is put in the part of this number of [`PARTS`], as line or row `place` says.
    pub fn push(&mut self, sample: &str, part: u8, place: usize) {
        self.ids.push_str(sample);
        self.ends.push(self.ids.len());
        self.parts.push(part);
        self.places.push(place);
    }

    /// Number of lines so far.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn id(&self, position: usize) -> &str {
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.ids[start..self.ends[position]]
    }

    /// Sorts the samples. One that is listed more than once counts once.
    ///
    /// # Errors
    /// The samples that are put in several parts, each with the first two places that differ, in the
    /// order of the later ones.
    pub fn finish(self) -> Result<Assignments, Vec<Contradiction>> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_unstable_by(|a, b| self.id(*a).cmp(self.id(*b)).then(a.cmp(b)));
        let (mut sorted, mut wrong) = (Self::default(), Vec::new());
        for same in order.chunk_by(|a, b| self.id(*a) == self.id(*b)) {
            let first = same[0];
            let place = |at: usize| (self.parts[at], self.places[at]);
            match same.iter().find(|at| self.parts[**at] != self.parts[first]) {
                Some(&other) => wrong.push(Contradiction {
                    sample: self.id(first).to_owned(),
                    first: place(first),
                    second: place(other),
                }),
                None => sorted.push(self.id(first), self.parts[first], 0),
            }
        }
        if !wrong.is_empty() {
            wrong.sort_unstable_by_key(|found| found.second.1);
            return Err(wrong);
        }
        // Places are for errors only.
        sorted.places = Vec::new();
        let digest = sorted.digest();
        Ok(Assignments { list: sorted, digest })
    }

    fn digest(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new();
        for (position, part) in self.parts.iter().enumerate() {
            let id = self.id(position).as_bytes();
            hasher.update(&(id.len() as u64).to_le_bytes()).update(id).update(&[*part]);
        }
        ContentHash::from_bytes(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rows: &[(&str, u8)]) -> Result<Assignments, Vec<Contradiction>> {
        let mut list = AssignmentList::default();
        rows.iter().zip(1..).for_each(|((id, part), place)| list.push(id, *part, place));
        list.finish()
    }

    #[test]
    fn the_order_does_not_matter_and_what_is_said_twice_counts_once() {
        let one = list(&[("b", 1), ("a", 0), ("c", 2)]).expect("one part each");
        let other = list(&[("c", 2), ("b", 1), ("a", 0), ("b", 1)]).expect("one part each");
        assert_eq!(one, other);
        assert_eq!((one.len(), one.id(1), one.part("b"), one.part("bb")), (3, "b", Some(1), None));
        let moved = list(&[("b", 1), ("a", 0), ("c", 1)]).expect("one part each");
        assert_ne!(one.digest(), moved.digest());
        assert!(list(&[]).expect("nothing").is_empty());
    }

    #[test]
    fn contradictions_are_told_with_both_places() {
        let wrong = list(&[("b", 1), ("a", 0), ("b", 1), ("a", 2), ("b", 0)]).expect_err("two");
        let told: Vec<_> = wrong.iter().map(|w| (w.sample.as_str(), w.first, w.second)).collect();
        assert_eq!(told, [("a", (0, 2), (2, 4)), ("b", (1, 1), (0, 5))]);
    }
}
