//! What was odd about a file: one fragment for each kind of oddity, with its first line.

/// Oddities met so far, each kind once, in the order they were met.
#[derive(Debug, Default)]
pub(crate) struct Quirks(Vec<Quirk>);

#[derive(Debug)]
struct Quirk {
    what: &'static str,
    first_line: u64,
    times: u64,
}

impl Quirks {
    /// Notes an oddity of line `line`.
    pub(crate) fn note(&mut self, what: &'static str, line: u64) {
        match self.0.iter_mut().find(|quirk| quirk.what == what) {
            Some(quirk) => quirk.times += 1,
            None => self.0.push(Quirk { what, first_line: line, times: 1 }),
        }
    }

    /// One fragment for each kind: `no edge count (line 2)`.
    pub(crate) fn into_fragments(self) -> Vec<String> {
        let fragment = |Quirk { what, first_line, times }| match times {
            1 => format!("{what} (line {first_line})"),
            _ => format!("{what} (line {first_line}, {times} in all)"),
        };
        self.0.into_iter().map(fragment).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_once() {
        let mut quirks = Quirks::default();
        quirks.note("a", 3);
        quirks.note("b", 4);
        quirks.note("a", 9);
        assert_eq!(quirks.into_fragments(), ["a (line 3, 2 in all)", "b (line 4)"]);
    }
}
