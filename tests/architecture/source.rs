//! The files of this repository, and a view of Rust code without comments and literals.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One Rust file, three times: lines and columns are the same in all views.
pub(crate) struct RustFile {
    /// Path relative to the repository, with forward slashes.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// Comments and the insides of literals are spaces.
    pub(crate) code: String,
    /// All but comments are spaces.
    pub(crate) comments: String,
    /// Whether the file as a whole is a test: by its folder, its name, or how it was declared.
    pub(crate) is_test: bool,
}

impl RustFile {
    /// The views of a file's text.
    pub(crate) fn new(path: String, text: String) -> Self {
        let (code, comments) = views(&text);
        let is_test = path.split('/').any(|part| part == "tests" || part == "tests.rs");
        Self { path, text, code, comments, is_test }
    }

    /// The code without `#[cfg(test)]` modules; nothing is left of a file that is a test.
    pub(crate) fn shipped_code(&self) -> String {
        if self.is_test { blank(&self.code) } else { without_test_modules(&self.code) }
    }

    /// `path:line` of a byte offset.
    pub(crate) fn at(&self, offset: usize) -> String {
        format!("{}:{}", self.path, line_of(&self.text, offset))
    }
}

/// Root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Standard output of `cargo` run in the repository, without network.
pub(crate) fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?} failed:\n{stderr}");
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// A text file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{error}: {path}"))
}

/// All Rust files, sorted by path.
pub(crate) fn rust_files() -> Vec<RustFile> {
    let all = paths().into_iter().filter(|path| path.ends_with(".rs"));
    let mut files: Vec<_> = all.map(|path| RustFile::new(path.clone(), read(&path))).collect();
    let modules: Vec<_> = files.iter().flat_map(test_modules).collect();
    for file in &mut files {
        let stem = file.path.trim_end_matches(".rs");
        let is_below = |module: &String| {
            stem.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        file.is_test |= modules.iter().any(is_below);
    }
    files
}

/// Paths, without extension, of the modules that `file` declares for tests only.
fn test_modules(file: &RustFile) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let folder = match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
    };
    let items = file.code.split("#[cfg(test)]").skip(1);
    let declared = items.filter_map(|item| {
        let (head, _) = item.split_once(';')?;
        let (before, name) = head.split_once("mod ")?;
        (before.trim().is_empty() || before.trim().starts_with("pub")).then(|| name.trim())
    });
    declared.filter(|name| !name.contains('{')).map(|name| format!("{folder}/{name}")).collect()
}

/// Paths of all files that people write, relative to the repository, sorted.
pub(crate) fn paths() -> Vec<String> {
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    found
}

/// Folders that hold no source: what is built, what is cached, what git keeps.
const NO_SOURCE: [&str; 5] = [".git", ".voxflow", "artifacts", "corpus", "target"];

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path: PathBuf = entry.expect("an entry can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !NO_SOURCE.contains(&name.as_str()) {
                walk(&path, found);
            }
        } else {
            let relative = path.strip_prefix(root()).expect("below the root");
            found.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
}

/// Fails with `rule` and all offenders, unless there are none.
pub(crate) fn assert_none(rule: &str, offenders: &[String]) {
    let list = offenders.join("\n  ");
    assert!(offenders.is_empty(), "{rule}\n{} offender(s):\n  {list}", offenders.len());
}

/// Number of the line a byte offset lies on, from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Offsets at which `word` stands in `code`, not as part of a longer name.
pub(crate) fn occurrences(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let is_name = |at: usize| bytes.get(at).is_some_and(|&byte| is_name_byte(byte));
    let (opens, closes) = (
        word.bytes().next().is_some_and(is_name_byte),
        word.bytes().last().is_some_and(is_name_byte),
    );
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| !(opens && at > 0 && is_name(at - 1)))
        .filter(|&at| !(closes && is_name(at + word.len())))
        .collect()
}

/// The braces that match from `open` on, which must be the offset of a `{` in code.
pub(crate) fn braces(code: &str, open: usize) -> Range<usize> {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open..at + 1;
        }
    }
    open..code.len()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn blank(text: &str) -> String {
    let keep = |byte| if byte == b'\n' { '\n' } else { ' ' };
    text.bytes().map(keep).collect()
}

fn without_test_modules(code: &str) -> String {
    let mut rest = code.to_owned();
    for at in occurrences(code, "#[cfg(test)]") {
        let item = &code[at..];
        let Some(open) = item.find('{') else { continue };
        if item[..open].contains("mod ") && !item[..open].contains(';') {
            let module = at..braces(code, at + open).end;
            rest.replace_range(module.clone(), &blank(&code[module]));
        }
    }
    rest
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

fn views(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < text.len() {
        let (part, len) = next_part(&text[at..], at > 0 && is_name_byte(text.as_bytes()[at - 1]));
        let piece = &text[at..at + len];
        code += if part == Part::Code { piece } else { "" };
        code += &if part == Part::Code { String::new() } else { blank(piece) };
        comments += &if part == Part::Comment { piece.to_owned() } else { blank(piece) };
        at += len;
    }
    (code, comments)
}

/// What `rest` begins with, and how long that is.
fn next_part(rest: &str, in_name: bool) -> (Part, usize) {
    if rest.starts_with("//") {
        return (Part::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Part::Comment, block_comment_len(rest));
    }
    if let Some(len) = raw_string_len(rest).filter(|_| !in_name) {
        return (Part::Literal, len);
    }
    let first = rest.chars().next().map_or(1, char::len_utf8);
    match rest.as_bytes()[0] {
        b'"' => (Part::Literal, string_len(rest)),
        b'\'' => char_len(rest).map_or((Part::Code, first), |len| (Part::Literal, len)),
        byte if byte.is_ascii() => (Part::Code, first),
        _ => (Part::Literal, first),
    }
}

fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < rest.len() {
        let pair = rest.as_bytes().get(at..at + 2);
        match pair {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn raw_string_len(rest: &str) -> Option<usize> {
    let tail = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = tail.bytes().take_while(|&byte| byte == b'#').count();
    let inside = tail[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inside.find(&close).map_or(inside.len(), |at| at + close.len());
    Some(rest.len() - inside.len() + end)
}

fn string_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a character literal; `None` for a lifetime.
fn char_len(rest: &str) -> Option<usize> {
    let mut inside = rest[1..].char_indices();
    let (_, first) = inside.next()?;
    if first == '\\' {
        let close = rest.get(3..)?.find('\'')?;
        return Some(close + 4);
    }
    let (at, second) = inside.next()?;
    (second == '\'').then_some(at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str, comments: &str) {
        let file = RustFile::new("x.rs".to_owned(), text.to_owned());
        assert_eq!((file.code.trim(), file.comments.trim()), (code, comments), "{text}");
        assert_eq!((file.code.len(), file.comments.len()), (text.len(), text.len()), "{text}");
    }

    #[test]
    fn comments_and_literals_are_told_from_code() {
        check("a(); // b \"c\"", "a();", "// b \"c\"");
        check("/* a /* b */ c */ d", "d", "/* a /* b */ c */");
        check(r#"f("a // \" b", x)"#, "f(           , x)", "");
        check("r#\"a \" // \"# ; bar\"x\"", "; bar", "");
        check(r"'a' '\'' '\u{1F}' &'a b", "&'a b", "");
        check("'{' 'é' 'x", "'x", "");
    }

    #[test]
    fn modules_that_are_declared_for_tests_are_tests() {
        let text = "#[cfg(test)]\npub(crate) mod probe;\nmod a;\n#[cfg(test)]\nmod b { use c; }\n";
        let file = |path: &str| RustFile::new(path.to_owned(), text.to_owned());
        assert_eq!(test_modules(&file("x/src/lib.rs")), ["x/src/probe"]);
        assert_eq!(test_modules(&file("x/src/y.rs")), ["x/src/y/probe"]);
    }

    #[test]
    fn names_are_found_whole() {
        assert_eq!(occurrences("timely:: untimely:: a::timely::b", "timely::"), [0, 23]);
        assert_eq!(occurrences("unsafe unsafe_code", "unsafe"), [0]);
    }

    #[test]
    fn test_modules_are_not_shipped() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n";
        let shipped = RustFile::new("x.rs".to_owned(), text.to_owned()).shipped_code();
        assert!(shipped.contains("fn a") && shipped.contains("fn c") && !shipped.contains("fn b"));
        assert_eq!(shipped.len(), text.len());
    }
}
