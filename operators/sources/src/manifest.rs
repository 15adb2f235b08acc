//! `manifest`: samples that a list names, one a line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Change, ContentHash, Entry, Fault, Image, Inputs, Kind, Known, Listed,
    Listing, ParamError, Params, Refusals, SampleId, Schema, SetupFault, Source, Stage, Values,
    map_rows, tables,
};

use crate::files::{FileFacts, changed_since, check_size, read_whole, stamp, write_stamp};

/// Extensions of the files of a folder of lists.
const EXTENSIONS: [&str; 2] = ["jsonl", "ndjson"];
/// Bytes of a text that stands in a list at most: it is kept in memory as long as the sample is listed.
const MOST_TEXT_BYTES: usize = 4096;
/// The format of a text where the list says none.
const PLAIN: &str = "txt";
/// What stamps begin with: of a sample that is its own text, of one whose hash the list says. A text of
/// another format than plain has that first, then a line break.
const TEXT: &str = "text ";
const TEXT_OF: &str = "text/";
const HASH: &str = "blake3 ";

/// Parameters of `manifest`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestParams {
    /// File of one JSON object a line, or folder of such files (*.jsonl, *.ndjson); relative to where
    /// voxflow was started.
    pub file: PathBuf,
    /// Folder that the paths of samples are relative to; the one that `file` lies in, or is, when not
    /// given.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// Files of more bytes are refused.
    #[serde(default = "default_max_bytes")]
    pub max_bytes: u64,
}

fn default_max_bytes() -> u64 {
    1 << 30
}

pub(crate) struct ManifestKind;

impl Kind for ManifestKind {
    fn name(&self) -> &'static str {
        "manifest"
    }

    fn summary(&self) -> &'static str {
        "Reads the samples that a list of JSON lines names: files, or short texts of its own."
    }

    fn manual(&self) -> &'static str {
        "Gives table `sample`: the raw bytes of what each line names. Nothing is decoded here.\n\n\
         A line is a JSON object with `sample`, a unique id, `category`, its class, and one of these:\n\n\
         - `path`: a file, relative to `root`. It counts as changed when its size or times do.\n\
         - `path` and `blake3`, the hash of the file in hexadecimal: the list alone says what changed, no \
         file is looked at before it is read, and one that has another hash is refused. `bytes`, its \
         size, tells how much memory to keep free for it.\n\
         - `text`: up to 4096 bytes that are the sample themselves; `format` says of which format they \
         are (`off`, `obj`, ...; `txt` when not given).\n\n\
         Other members are passed over, and so are empty lines. In a folder of lists the files are read in \
         the order of their names; all together are one list. Cut a long list into several, and a \
         change of one costs `watch` that one alone.\n\n\
         A line that is no such object, and an id that is listed twice, stop the run before it begins, with \
         file and line.\n\n\
         Refused, sample by sample: `too_large` above `max_bytes`; `unreadable` when the file is not \
         there or may not be read; `changed` when size or times are not what they were when it was \
         listed, or its hash is not the one that the list says. Files that a file names, such as \
         buffers of a glTF, are not read: use `meshes` for those.\n\n\
         Cost: half a microsecond a line, and a look at each file whose hash is not listed."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::None
    }

    fn output(&self) -> &'static str {
        "sample"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"files\"\nuse = \"manifest\"\n\
         file = \"data/train.jsonl\"\nroot = \"data/meshes\"\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(ManifestParams)
    }

    fn build(&self, params: &Params, _: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: ManifestParams = params.parse()?;
        let mut errors = Vec::new();
        if params.file.as_os_str().is_empty() {
            errors.push(ParamError::new("file", "must name a file or a folder"));
        }
        if params.max_bytes == 0 {
            errors.push(ParamError::new("max_bytes", "must be at least 1"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let ManifestParams { file, root, max_bytes } = params;
        Ok(Stage::Source(Arc::new(Manifest { file, root, max_bytes, listed: Mutex::default() })))
    }
}

struct Manifest {
    file: PathBuf,
    root: Option<PathBuf>,
    max_bytes: u64,
    /// What each list of a folder named when it was last read.
    listed: Mutex<BTreeMap<PathBuf, Remembered>>,
}

/// What is kept of a list that was read.
struct Remembered {
    /// Ids, each followed by a line break.
    ids: String,
    /// Whether it names files whose hash it does not say.
    names_files: bool,
}

/// One line of a list.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    sample: Cow<'a, str>,
    #[serde(borrow)]
    category: Cow<'a, str>,
    #[serde(borrow, default)]
    path: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    blake3: Option<Cow<'a, str>>,
    #[serde(default)]
    bytes: Option<u64>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    format: Option<Cow<'a, str>>,
}

impl Source for Manifest {
    fn output(&self) -> Schema {
        tables::sample()
    }

    fn list(&self) -> Result<Listing, SetupFault> {
        let mut listed = BTreeMap::new();
        let mut listing = Listing::default();
        for file in self.files()? {
            let known = self.read_list(&file, &mut listing)?;
            listed.insert(file, known);
        }
        if listing.is_empty() {
            let message = format!("lists no sample: {}", self.file.display());
            return Err(SetupFault::new(message));
        }
        listing.sort();
        if let Some(twice) = listing.first_out_of_order() {
            return Err(self.listed_twice(twice));
        }
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = listed;
        Ok(listing)
    }

    fn open(&self, entries: &[Entry], refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, files) = map_rows(entries.len(), refusals, |row| self.read(&entries[row]));
        let kept: Vec<&Entry> = kept.into_iter().map(|row| &entries[row]).collect();
        let paths = || kept.iter().map(|entry| entry.path.as_deref().unwrap_or_default());
        let format = |entry: &&Entry| match (text_of(&entry.stamp), &entry.path) {
            (Some((format, _)), _) => format.to_owned(),
            (None, path) => extension_of(path.as_deref().unwrap_or_default()).to_ascii_lowercase(),
        };
        let contents = files.iter().map(|bytes| *ContentHash::of(bytes).as_bytes());
        let values = vec![
            Values::utf8(kept.iter().map(|entry| entry.sample.as_str())),
            Values::utf8(kept.iter().map(|entry| &entry.category)),
            Values::fixed_binary(ContentHash::LEN, contents),
            Values::utf8(paths()),
            Values::utf8(kept.iter().map(format)),
            Values::binary(&files),
            Values::images(&vec![Vec::<Image>::new(); files.len()]),
        ];
        Ok(Batch::new(tables::sample(), values)?)
    }

    fn depends_on(&self) -> Vec<PathBuf> {
        let root = self.root();
        let is_below = root.starts_with(&self.file);
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let names_files = listed.values().any(|list| list.names_files);
        let mut all = vec![self.file.clone()];
        all.extend((names_files && !is_below).then_some(root));
        all
    }

    fn relist(
        &self,
        changed: &[PathBuf],
        known: &dyn Known,
    ) -> Result<Option<Vec<Change>>, SetupFault> {
        if !self.file.is_dir() {
            return Ok(None);
        }
        let mut lists: Vec<&PathBuf> = changed.iter().filter(|path| is_list(path)).collect();
        lists.sort_unstable();
        lists.dedup();
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let names_files = listed.values().any(|list| list.names_files);
        if names_files && changed.iter().any(|path| !is_list(path)) {
            return Ok(None);
        }
        let mut all: BTreeMap<SampleId, Option<Entry>> = BTreeMap::new();
        let mut fresh = Vec::new();
        for &list in &lists {
            let before = listed.get(list).map_or("", |list| list.ids.as_str());
            let gone = before.lines().filter_map(|id| SampleId::new(id).ok());
            all.extend(gone.map(|sample| (sample, None)));
            let mut listing = Listing::default();
            let now = list.is_file().then(|| self.read_list(list, &mut listing)).transpose()?;
            let all: Vec<u32> = (0..listing.len() as u32).collect();
            fresh.push((list.clone(), now, listing.unpack(&all)));
        }
        for entry in fresh.iter_mut().flat_map(|(_, _, entries)| entries.drain(..)) {
            let is_elsewhere =
                !all.contains_key(&entry.sample) && known.get(entry.sample.as_str()).is_some();
            let before = all.insert(entry.sample.clone(), Some(entry));
            if is_elsewhere || before.is_some_and(|entry| entry.is_some()) {
                // Two lists name it: a scan says so.
                return Ok(None);
            }
        }
        for (list, now, _) in fresh {
            match now {
                Some(now) => drop(listed.insert(list, now)),
                None => drop(listed.remove(&list)),
            }
        }
        Ok(Some(all.into_iter().map(|(sample, entry)| Change { sample, entry }).collect()))
    }
}

fn extension_of(path: &str) -> &str {
    Path::new(path).extension().and_then(OsStr::to_str).unwrap_or_default()
}

/// Format and bytes of a sample that is its own text.
fn text_of(stamp: &str) -> Option<(&str, &str)> {
    let plain = stamp.strip_prefix(TEXT).map(|text| (PLAIN, text));
    plain.or_else(|| stamp.strip_prefix(TEXT_OF)?.split_once('\n'))
}

fn is_list(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    !name.starts_with('.') && EXTENSIONS.contains(&extension)
}

impl Manifest {
    fn root(&self) -> PathBuf {
        match &self.root {
            Some(root) => root.clone(),
            None if self.file.is_dir() => self.file.clone(),
            None => self.file.parent().unwrap_or(Path::new("")).to_owned(),
        }
    }

    /// The lists, in order.
    fn files(&self) -> Result<Vec<PathBuf>, SetupFault> {
        let cannot = |error: &io::Error| {
            let file = self.file.display();
            SetupFault::new(format!("parameter `file` must be a list or a folder: {error}: {file}"))
        };
        if !fs::metadata(&self.file).map_err(|e| cannot(&e))?.is_dir() {
            return Ok(vec![self.file.clone()]);
        }
        let entries = fs::read_dir(&self.file).map_err(|e| cannot(&e))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut files = paths.collect::<Result<Vec<_>, _>>().map_err(|e| cannot(&e))?;
        files.retain(|path| is_list(path));
        files.sort_unstable();
        if files.is_empty() {
            let message = format!("found no *.jsonl or *.ndjson files: {}", self.file.display());
            return Err(SetupFault::new(message));
        }
        Ok(files)
    }

    /// Adds the samples of a list to a listing.
    fn read_list(&self, path: &Path, listing: &mut Listing) -> Result<Remembered, SetupFault> {
        let cannot = |what: String| SetupFault::new(format!("{what}: {}", path.display()));
        let file = File::open(path).map_err(|e| cannot(format!("cannot read: {e}")))?;
        let (mut reader, mut text) = (BufReader::with_capacity(1 << 16, file), String::new());
        let mut listed = Remembered { ids: String::new(), names_files: false };
        let (root, mut stamp) = (self.root(), String::new());
        for number in 1.. {
            text.clear();
            let read = reader.read_line(&mut text);
            if read.map_err(|e| cannot(format!("line {number}: cannot read: {e}")))? == 0 {
                break;
            }
            if text.trim().is_empty() {
                continue;
            }
            let line = list_line(&text, &root, &mut stamp, listing);
            let id = line.map_err(|what| cannot(format!("line {number}: {what}")))?;
            listed.ids.push_str(&id);
            listed.ids.push('\n');
            listed.names_files |= text_of(&stamp).is_none() && !stamp.starts_with(HASH);
        }
        listed.ids.shrink_to_fit();
        Ok(listed)
    }

    /// Says where a sample is listed for the second time.
    fn listed_twice(&self, sample: &str) -> SetupFault {
        let mut found = Vec::new();
        for path in self.files().unwrap_or_default() {
            let lines = File::open(&path).map(|file| BufReader::new(file).lines());
            for (number, line) in lines.into_iter().flatten().enumerate() {
                let line = line.unwrap_or_default();
                let line: Option<Line<'_>> = serde_json::from_str(&line).ok();
                if line.is_some_and(|line| line.sample == sample) {
                    found.push(format!("{}:{}", path.display(), number + 1));
                }
            }
        }
        SetupFault::new(format!("sample `{sample}` is listed twice: {}", found.join(" and ")))
    }

    fn read(&self, entry: &Entry) -> Result<Vec<u8>, Fault> {
        if let Some((_, text)) = text_of(&entry.stamp) {
            return Ok(text.as_bytes().to_vec());
        }
        let relative = entry.path.as_deref().unwrap_or_default();
        let path = self.root().join(relative);
        let hash = entry.stamp.strip_prefix(HASH);
        let bytes = read_whole(&path, relative, self.max_bytes, |metadata| {
            check_size(metadata.len(), self.max_bytes, relative)?;
            let is_same = hash.is_some() || entry.stamp == stamp(metadata);
            if is_same { Ok(()) } else { Err(changed_since(relative)) }
        })?;
        let found = ContentHash::of(&bytes).to_string();
        if hash.is_some_and(|hash| hash != found) {
            let message = format!("its hash is not the listed one but {found}: {relative}");
            return Err(Fault::new("changed", message));
        }
        Ok(bytes)
    }
}

/// Adds the sample of a line to a listing, and says what is wrong with the line; gives the id.
fn list_line<'a>(
    text: &'a str,
    root: &Path,
    stamp: &mut String,
    listing: &mut Listing,
) -> Result<Cow<'a, str>, String> {
    let line: Line<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    SampleId::check(&line.sample)?;
    stamp.clear();
    let bytes = match (&line.path, &line.blake3, &line.text) {
        (None, None, Some(text)) if text.len() > MOST_TEXT_BYTES => {
            let bytes = text.len();
            return Err(format!("`text` of {bytes} bytes is longer than {MOST_TEXT_BYTES}"));
        }
        (None, None, Some(text)) => {
            write_text_stamp(line.format.as_deref().unwrap_or(PLAIN), text, stamp)?;
            text.len() as u64
        }
        (Some(_), Some(hash), None) => {
            if hash.len() != 2 * ContentHash::LEN || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(format!("`blake3` is not a hash of 64 hexadecimal digits: {hash:?}"));
            }
            stamp.push_str(HASH);
            stamp.push_str(&hash.to_ascii_lowercase());
            line.bytes.unwrap_or_default()
        }
        (Some(path), None, None) => match fs::metadata(root.join(path.as_ref())) {
            Ok(metadata) => {
                write_stamp(&FileFacts::of(&metadata), stamp);
                metadata.len()
            }
            Err(_) => {
                // It is listed, to be refused.
                stamp.push_str("not there");
                0
            }
        },
        _ => return Err("must have `path`, `path` and `blake3`, or `text`".to_owned()),
    };
    let (sample, category, path) = (&*line.sample, &*line.category, line.path.as_deref());
    listing.push(Listed { sample, category, path, bytes, stamp });
    Ok(line.sample)
}

/// What [`text_of`] takes apart.
fn write_text_stamp(format: &str, text: &str, stamp: &mut String) -> Result<(), String> {
    if format == PLAIN {
        stamp.push_str(TEXT);
    } else {
        if format.is_empty()
            || !format.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            let right = "lower-case letters and digits, such as `off`";
            return Err(format!("`format` must be {right}: {format:?}"));
        }
        stamp.push_str(TEXT_OF);
        stamp.push_str(format);
        stamp.push('\n');
    }
    stamp.push_str(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tempfile::TempDir;

    fn source(params: serde_json::Value) -> Arc<dyn Source> {
        let serde_json::Value::Object(params) = params else { panic!("parameters are a table") };
        let context = BuildContext { seed: 5, stage: "list".to_owned() };
        match ManifestKind.build(&Params(params), &context) {
            Ok(Stage::Source(source)) => source,
            _ => panic!("manifest is a source"),
        }
    }

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        root
    }

    fn line(sample: &str, text: &str) -> String {
        json!({"sample": sample, "category": "cup", "text": text, "other": [1]}).to_string() + "\n"
    }

    /// Samples as a slow search of a list finds them.
    struct All(Vec<Entry>);

    impl Known for All {
        fn beginning_with(&self, prefix: &str) -> Vec<Entry> {
            let is_one = |entry: &&Entry| entry.sample.as_str().starts_with(prefix);
            self.0.iter().filter(is_one).cloned().collect()
        }

        fn get(&self, sample: &str) -> Option<Entry> {
            self.0.iter().find(|entry| entry.sample.as_str() == sample).cloned()
        }
    }

    #[test]
    fn files_hashes_and_texts_are_listed_and_read() {
        let hash = ContentHash::of(b"solid").to_string();
        let list = [
            json!({"sample": "b", "category": "cup", "path": "b.STL", "blake3": hash, "bytes": 5}),
            json!({"sample": "a", "category": "bowl", "path": "x/a.off"}),
            json!({"sample": "c", "category": "cup", "text": "abc"}),
            json!({"sample": "d", "category": "cup", "path": "none.off"}),
            json!({"sample": "e", "category": "cup", "path": "x/a.off", "blake3": hash}),
            json!({"sample": "f", "category": "cup", "text": "OFF\n0 0 0", "format": "off"}),
        ];
        let list = list.map(|line| line.to_string()).join("\n\n");
        let root = folder(&[("x/a.off", "OFF"), ("b.STL", "solid"), ("list.jsonl", &list)]);
        let source = source(json!({"file": root.path().join("list.jsonl")}));
        let entries = source.scan().expect("a scan");
        let ids: Vec<&str> = entries.iter().map(|entry| entry.sample.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!([entries[0].bytes, entries[1].bytes, entries[2].bytes], [3, 5, 3]);
        let mut refusals = Refusals::default();
        let rows = source.open(&entries, &mut refusals).expect("a batch");
        let formats: Vec<_> = rows.utf8("format").expect("formats").values_iter().collect();
        assert_eq!(formats, ["off", "stl", "txt", "off"]);
        let bytes = rows.binary("bytes").expect("bytes");
        let bytes: Vec<&[u8]> = (0..4).map(|row| bytes.value(row)).collect();
        assert_eq!(bytes, [&b"OFF"[..], b"solid", b"abc", b"OFF\n0 0 0"]);
        let codes = refusals.into_rows().into_iter().map(|(row, fault)| (row, fault.code));
        assert_eq!(codes.collect::<Vec<_>>(), [(3, "unreadable"), (4, "changed")]);
        assert_eq!(source.depends_on(), [root.path().join("list.jsonl"), root.path().to_owned()]);
    }

    #[test]
    fn wrong_lists_are_refused_with_their_line() {
        let message = |text: &str| {
            let root = folder(&[("list.jsonl", text)]);
            let fault = source(json!({"file": root.path().join("list.jsonl")})).scan();
            fault.expect_err("a fault").message
        };
        let good = line("a", "1");
        assert!(message("\n\n").starts_with("lists no sample: "));
        assert!(message(&format!("{good}{{}}\n")).starts_with("line 2: missing field `sample`"));
        let wanted = "line 1: must have `path`, `path` and `blake3`, or `text`: ";
        assert!(message(r#"{"sample": "a", "category": "c"}"#).starts_with(wanted));
        let format = r#"{"sample": "a", "category": "c", "text": "x", "format": "../off"}"#;
        assert!(message(format).starts_with("line 1: `format` must be lower-case letters"));
        let hash = r#"{"sample": "a", "category": "c", "path": "p", "blake3": "12"}"#;
        assert!(message(hash).starts_with("line 1: `blake3` is not a hash"));
        assert!(message(&line("a", &"x".repeat(4097))).contains("`text` of 4097 bytes"));
        let twice = message(&format!("{good}{}{good}", line("b", "1")));
        assert!(twice.starts_with("sample `a` is listed twice: "), "{twice}");
        assert!(twice.contains("list.jsonl:1 and ") && twice.ends_with("list.jsonl:3"), "{twice}");
        let fault = source(json!({"file": "no/such/list.jsonl"})).scan().expect_err("a fault");
        assert!(fault.message.starts_with("parameter `file` must be a list or a folder: "));
    }

    #[test]
    fn one_list_of_a_folder_is_read_again_alone() {
        let root = folder(&[
            ("1.jsonl", &(line("a", "1") + &line("b", "1"))),
            ("2.ndjson", &line("c", "1")),
            ("notes.txt", "no list"),
        ]);
        let source = source(json!({"file": root.path()}));
        let known = All(source.scan().expect("a scan"));
        assert_eq!(known.0.len(), 3);
        let path = |name: &str| root.path().join(name);
        let changes = |names: &[&str]| {
            let changed: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
            let changes = source.relist(&changed, &known).expect("good lists")?;
            let shown = |change: Change| {
                let stamp = change.entry.map_or("gone".to_owned(), |entry| entry.stamp);
                format!("{}: {stamp}", change.sample)
            };
            Some(changes.into_iter().map(shown).collect::<Vec<_>>())
        };
        assert_eq!(changes(&["notes.txt"]), Some(vec![]));
        fs::write(path("1.jsonl"), line("b", "2") + &line("d", "1")).expect("writable");
        let wanted = ["a: gone", "b: text 2", "d: text 1"].map(str::to_owned);
        assert_eq!(changes(&["1.jsonl", "notes.txt"]), Some(wanted.to_vec()));
        fs::remove_file(path("2.ndjson")).expect("removable");
        fs::write(path("3.jsonl"), line("c", "3")).expect("writable");
        assert_eq!(changes(&["2.ndjson", "3.jsonl"]), Some(vec!["c: text 3".to_owned()]));
        fs::write(path("1.jsonl"), line("c", "1")).expect("writable");
        assert_eq!(changes(&["1.jsonl"]), None, "`c` is in the other list, too");
    }
}
