//! House style, as far as a program can see it: every rule names all who break it.

use std::path::Path;

use voxflow_contract::COMMIT_POINTS;

use crate::source::{
    RustFile, assert_none, braces, line_of, occurrences, paths, read, root, rust_files,
};

/// Lines a function body may have.
const MAX_BODY_LINES: usize = 60;

/// Functions that may be longer, as `path::function`, and why. An entry that is no longer needed
/// fails the test.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 7] = ["base", "common", "core", "helpers", "manager", "misc", "utils"];

#[test]
fn every_file_opens_with_a_sentence() {
    let offenders: Vec<_> = rust_files()
        .iter()
        .filter(|file| !opens_with_a_sentence(&file.text))
        .map(|file| format!("{}:1", file.path))
        .collect();
    assert_none("A file opens with `//!` and a sentence that says what it is.", &offenders);
}

fn opens_with_a_sentence(text: &str) -> bool {
    let docs = text.lines().map_while(|line| line.strip_prefix("//!"));
    let first: Vec<_> = docs.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let paragraph = first.join(" ");
    paragraph.split_whitespace().count() >= 3 && paragraph.ends_with(['.', ':', '?'])
}

#[test]
fn names_say_what_is_inside() {
    let mut offenders = Vec::new();
    for path in paths().iter().filter(|path| path.ends_with(".rs")) {
        let parts = path.trim_end_matches(".rs").split('/');
        offenders.extend(parts.filter(|part| is_empty_name(part)).map(|_| format!("{path}:1")));
    }
    for file in rust_files() {
        for at in occurrences(&file.code, "mod") {
            let name = first_name(&file.code[at + "mod".len()..]);
            if is_empty_name(name) {
                offenders.push(file.at(at));
            }
        }
    }
    let rule = format!("No file or module is called {EMPTY_NAMES:?}: say what is inside.");
    assert_none(&rule, &offenders);
}

fn is_empty_name(name: &str) -> bool {
    EMPTY_NAMES.iter().any(|empty| name == *empty || name.ends_with(&format!("_{empty}")))
}

/// The name that `code` begins with, after spaces; may be empty.
fn first_name(code: &str) -> &str {
    let code = code.trim_start();
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
    &code[..end]
}

#[test]
fn mod_files_only_declare_and_re_export() {
    let mut offenders = Vec::new();
    for file in rust_files().iter().filter(|file| file.path.ends_with("/mod.rs")) {
        for word in ["fn", "struct", "enum", "trait", "impl", "macro_rules"] {
            offenders.extend(occurrences(&file.code, word).into_iter().map(|at| file.at(at)));
        }
    }
    assert_none(
        "A `mod.rs` only declares and re-exports: logic lives in a named file.",
        &offenders,
    );
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    let words = [
        "todo!",
        "unimplemented!",
        "#[ignore",
        "#[should_panic",
        "#[allow(",
        "#![allow(",
        "#[cfg_attr(test, allow(",
    ];
    let mut offenders = Vec::new();
    for file in rust_files() {
        for word in words {
            let hits = occurrences(&file.code, word).into_iter();
            offenders.extend(hits.map(|at| format!("{}: {word}", file.at(at))));
        }
    }
    let rule =
        "Nothing is left undone or switched off; `#[expect(.., reason = ..)]` instead of `allow`.";
    assert_none(rule, &offenders);
}

#[test]
fn whats_to_do_names_an_issue() {
    let mut offenders = Vec::new();
    for file in rust_files() {
        for word in ["TODO", "FIXME", "XXX", "HACK"] {
            for at in occurrences(&file.comments, word) {
                let line = file.text[at..].lines().next().unwrap_or_default();
                if !line[word.len()..].starts_with("(#") {
                    offenders.push(file.at(at));
                }
            }
        }
    }
    assert_none("A note of what is to do names its issue, as in `TODO(#12)`.", &offenders);
}

#[test]
fn test_data_says_where_it_comes_from() {
    let mut folders = std::collections::BTreeSet::new();
    for path in paths() {
        let Some(at) = format!("/{path}").find("/tests/data/") else { continue };
        let data = at + "tests/data/".len();
        if let Some((folder, _)) = path[data..].split_once('/') {
            folders.insert(format!("{}{folder}", &path[..data]));
        }
    }
    let without = folders.iter().filter(|folder| !root().join(folder).join("README.md").is_file());
    let offenders: Vec<_> = without.map(|folder| format!("{folder}/README.md:1")).collect();
    assert_none("Each folder in `tests/data` has a README: origin, licence, script.", &offenders);
}

#[test]
fn no_line_ends_in_spaces() {
    let mut offenders = Vec::new();
    for path in paths().iter().filter(|path| is_prose_or_code(path)) {
        let text = read(path);
        let lines = text.lines().enumerate().filter(|(_, line)| line.ends_with([' ', '\t']));
        offenders.extend(lines.map(|(i, _)| format!("{path}:{}", i + 1)));
    }
    assert_none("No line ends in spaces.", &offenders);
}

/// Whether a file is written by us: what lies in `tests/data` and goldens is as its maker left it.
fn is_prose_or_code(path: &str) -> bool {
    let extension = Path::new(path).extension().unwrap_or_default().to_string_lossy();
    let is_ours = ["rs", "toml", "md", "yml", "wgsl", "py", "sh"].contains(&&*extension)
        || ["justfile", ".ci/run", ".gitignore"].contains(&path);
    is_ours && !path.contains("tests/golden/")
}

#[test]
fn functions_are_short() {
    let mut used = Vec::new();
    let mut offenders = Vec::new();
    for file in rust_files() {
        for (name, at, lines) in bodies(&file) {
            let key = format!("{}::{name}", file.path);
            if lines <= MAX_BODY_LINES {
                continue;
            }
            if LONG_FUNCTIONS.iter().any(|(exception, _)| *exception == key) {
                used.push(key);
            } else {
                offenders.push(format!("{}: {name} has {lines} lines", file.at(at)));
            }
        }
    }
    assert_none(&format!("A function body has at most {MAX_BODY_LINES} lines."), &offenders);
    let unused = LONG_FUNCTIONS.iter().filter(|(key, _)| !used.iter().any(|u| u == key));
    let unused: Vec<_> = unused.map(|(key, _)| (*key).to_owned()).collect();
    assert_none("An exception in LONG_FUNCTIONS is no longer needed: take it out.", &unused);
}

/// Name, offset and lines between the braces of every function.
fn bodies(file: &RustFile) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for at in occurrences(&file.code, "fn") {
        let name = first_name(&file.code[at + "fn".len()..]);
        if name.is_empty() {
            continue;
        }
        if let Some(open) = body_open(&file.code[at..]) {
            let body = &file.code[braces(&file.code, at + open)];
            found.push((name.to_owned(), at, line_of(body, body.len()).saturating_sub(2)));
        }
    }
    found
}

/// Where the body of the function that `code` begins with opens; `None` for one without a body.
fn body_open(code: &str) -> Option<usize> {
    let mut depth = 0i32;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn every_commit_point_is_in_the_list_and_in_the_code() {
    let mut offenders = Vec::new();
    let mut passed = std::collections::BTreeSet::new();
    for file in rust_files().iter().filter(|file| !file.path.ends_with("/commit_point.rs")) {
        let shipped = file.shipped_code();
        for at in occurrences(&shipped, "commit_point") {
            let Some(name) = file.text[at..].strip_prefix("commit_point(\"") else { continue };
            let name = name.split('"').next().unwrap_or_default();
            if !COMMIT_POINTS.contains(&name) {
                offenders.push(format!("{}: {name} is not in COMMIT_POINTS", file.at(at)));
            }
            passed.insert(name.to_owned());
        }
    }
    let gone = COMMIT_POINTS.iter().filter(|name| !passed.contains(**name));
    offenders.extend(gone.map(|name| format!("{name} is in COMMIT_POINTS and nowhere passed")));
    assert_none("COMMIT_POINTS names all commit points and no others.", &offenders);
}

#[test]
fn the_architecture_page_has_every_exit_code() {
    let (codes, page) = (read("src/exit_code.rs"), read("ARCHITECTURE.md"));
    let constants = codes.lines().filter_map(|line| line.strip_prefix("pub const "));
    let rows = constants.filter_map(|constant| {
        let (name, value) = constant.split_once(": u8 = ")?;
        Some(format!("| {} | {name} |", value.trim_end_matches(';')))
    });
    let missing = rows.filter(|row| !page.lines().any(|line| line.starts_with(row.as_str())));
    assert_none("ARCHITECTURE.md has a row for each exit code.", &missing.collect::<Vec<_>>());
}

#[test]
fn no_path_of_one_machine() {
    let mut offenders = Vec::new();
    for file in rust_files() {
        // Shipped code, with its literals: a path that is part of a longer one is not absolute.
        let shipped = file.shipped_code();
        for folder in ["/work/", "/tmp/", "/home/", "/root/", "/Users/"] {
            for (at, _) in file.text.match_indices(folder) {
                let opens = file.text[..at].ends_with(['"', ' ', '`', '(', '\'']);
                if opens && !is_blank_line(&shipped, &file.text, at) {
                    offenders.push(file.at(at));
                }
            }
        }
    }
    for path in paths().iter().filter(|path| path.ends_with(".toml") || path.ends_with(".md")) {
        let text = read(path);
        let hits = text.match_indices("/work/").filter(|(at, _)| !is_relative(&text[..*at]));
        offenders.extend(hits.map(|(at, _)| format!("{path}:{}", line_of(&text, at))));
    }
    assert_none("No path of one machine outside tests.", &offenders);
}

/// Whether what stands before a `/` makes it part of a relative path or a URL.
fn is_relative(before: &str) -> bool {
    before.ends_with(|c: char| c.is_alphanumeric() || "._-/}".contains(c))
}

/// Whether the line of `text` at `at` has nothing left in `shipped`.
fn is_blank_line(shipped: &str, text: &str, at: usize) -> bool {
    let line = line_of(text, at) - 1;
    shipped.lines().nth(line).is_none_or(|line| line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends() {
        assert!(opens_with_a_sentence("//! What a room\n//! is.\n\nfn main() {}\n"));
        assert!(opens_with_a_sentence("//! What a room is.\n//!\n//! More"));
        assert!(!opens_with_a_sentence("//! Stub.\n"));
        assert!(!opens_with_a_sentence("use std::fs;\n//! What a room is.\n"));
    }

    #[test]
    fn bodies_are_measured_between_the_braces() {
        let text = "fn a(x: [u8; 3]) -> u8\nwhere\n  X: Y,\n{\n  1;\n  2\n}\ntrait T { fn b(); }\n";
        let file = RustFile::new("x.rs".to_owned(), text.to_owned());
        assert_eq!(bodies(&file), [("a".to_owned(), 0, 2)]);
    }
}
