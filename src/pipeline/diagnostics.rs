//! `Diagnostic`: one mistake in a file, with its place, as a compiler would show it.

use std::fmt;
use std::ops::Range;
use std::path::Path;

/// One mistake: where it is, what is wrong, what would be right.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// File as it was named, or `--set` for a mistake on the command line.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters to underline, at least 1.
    pub len: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right, one line each.
    pub help: Vec<String>,
    /// The line of the file.
    pub source_line: String,
}

impl Diagnostic {
    /// A mistake in an assignment of the command line.
    pub fn on_command_line(assignment: &str, message: impl Into<String>) -> Self {
        Self {
            file: "--set".to_owned(),
            line: 1,
            column: 1,
            len: assignment.chars().count().max(1),
            message: message.into(),
            help: Vec::new(),
            source_line: assignment.to_owned(),
        }
    }

    /// The same mistake with one more line of help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The same mistake with a guess of what was meant by `name`, and all that is known.
    #[must_use]
    pub fn suggest<'a>(mut self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        if let Some(near) = nearest(name, &known) {
            self.help.push(format!("help: did you mean `{near}`?"));
        }
        if !known.is_empty() {
            self.help.push(format!("known: {}", known.join(", ")));
        }
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, .. } = self;
        let gutter = " ".repeat(line.to_string().len());
        writeln!(f, "error: {}", self.message)?;
        if file == "--set" {
            writeln!(f, "{gutter}--> command line")?;
        } else {
            writeln!(f, "{gutter}--> {file}:{line}:{column}")?;
        }
        let lead: String = self.source_line.chars().take(column - 1).map(blank).collect();
        let shown = if file == "--set" { "--set " } else { "" };
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{line} | {shown}{}", self.source_line)?;
        let indent = " ".repeat(shown.len());
        writeln!(f, "{gutter} | {indent}{lead}{}", "^".repeat(self.len))?;
        for help in &self.help {
            let label = ["help: ", "known: ", "note: "].iter().any(|l| help.starts_with(l));
            writeln!(f, "{gutter} = {}{help}", if label { "" } else { "help: " })?;
        }
        Ok(())
    }
}

/// Tabs stay, so that carets stand below what they mean.
fn blank(c: char) -> char {
    if c == '\t' { '\t' } else { ' ' }
}

/// The name in `known` that `name` is most likely a slip of.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |other: &str| strsim::damerau_levenshtein(name, other);
    let best = known.iter().copied().min_by_key(|other| score(other))?;
    let limit = (name.chars().count().max(best.chars().count()) / 3).max(1);
    let contains = name.len() >= 3 && (best.contains(name) || name.contains(best));
    (score(best) <= limit || contains).then_some(best)
}

/// A file that was read: gives places lines and columns, and collects what is wrong with it.
#[derive(Debug)]
pub struct Source<'a> {
    file: String,
    text: &'a str,
}

impl<'a> Source<'a> {
    /// A file and its text.
    pub fn new(file: &Path, text: &'a str) -> Self {
        Self { file: file.display().to_string(), text }
    }

    /// The text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// A mistake at a range of bytes.
    pub fn at(&self, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let start = floor_boundary(self.text, span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |i| start + i);
        let end = floor_boundary(self.text, span.end).clamp(start, line_end.max(start));
        Diagnostic {
            file: self.file.clone(),
            line: self.text[..start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            len: self.text[start..end].chars().count().max(1),
            message: message.into(),
            help: Vec::new(),
            source_line: self.text[line_start..line_end].trim_end_matches('\r').to_owned(),
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Puts mistakes in the order of the file, each once; of a line with broken TOML only the first,
/// for the others follow from it.
pub fn tidy(mut syntax: Vec<Diagnostic>, meaning: Vec<Diagnostic>) -> Vec<Diagnostic> {
    syntax.dedup_by_key(|d| (d.file.clone(), d.line));
    let broken: Vec<_> = syntax.iter().map(|d| (d.file.clone(), d.line)).collect();
    syntax.extend(meaning.into_iter().filter(|d| !broken.contains(&(d.file.clone(), d.line))));
    syntax.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    syntax.dedup();
    syntax
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_as_a_compiler_would() {
        let text = "[pipeline]\nname = \"x\"\n\n[[stage]]\nuse = \"voxelise\"\n";
        let at = text.find("\"voxelise\"").expect("there");
        let source = Source::new(Path::new("pipelines/x.toml"), text);
        let diagnostic = source
            .at(at..at + 10, "there is no operator `voxelise`")
            .suggest("voxelise", ["normalize", "voxelize"]);
        let expected = "error: there is no operator `voxelise`
 --> pipelines/x.toml:5:7
  |
5 | use = \"voxelise\"
  |       ^^^^^^^^^^
  = help: did you mean `voxelize`?
  = known: normalize, voxelize
";
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn places_past_the_end_and_inside_characters_are_places() {
        let source = Source::new(Path::new("x"), "é = 1");
        assert_eq!(source.at(1..2, "inside").column, 1);
        let end = source.at(90..95, "past");
        assert_eq!((end.line, end.column, end.len), (1, 6, 1));
    }

    #[test]
    fn guesses_are_near() {
        assert_eq!(nearest("normalise", &["normalize", "voxelize"]), Some("normalize"));
        assert_eq!(nearest("resolutoin", &["resolution", "fill"]), Some("resolution"));
        assert_eq!(nearest("banana", &["normalize", "voxelize"]), None);
    }

    #[test]
    fn broken_lines_speak_once() {
        let source = Source::new(Path::new("x"), "a = \nb = 1\n");
        let all = tidy(
            vec![source.at(4..4, "syntax")],
            vec![source.at(5..6, "unknown b"), source.at(0..1, "unknown a")],
        );
        let messages: Vec<_> = all.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, ["syntax", "unknown b"]);
    }
}
