//! `meshes`: any folder of mesh files, the class being the first folder.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Component::Normal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{
    Batch, BuildContext, Change, ContentHash, Entry, Fault, Image, Inputs, Kind, Known, Listed,
    Listing, ParamError, Params, Refusals, SampleId, Schema, SetupFault, Source, Stage, Values,
    map_rows, tables,
};
use voxflow_formats::{MeshFormat, SidecarScope, gather_sidecars};

use crate::files::{FileFacts, changed_since, check_size, read_whole, unreadable, write_stamp};

/// Parameters of `meshes`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeshesParams {
    /// Folder that holds one folder a class; relative to where voxflow was started.
    pub root: PathBuf,
    /// File extensions to take, in upper or lower case: glb, gltf, obj, off, ply, stl. All when not given.
    #[serde(default = "default_extensions")]
    pub extensions: Vec<String>,
    /// Files of more bytes are refused.
    #[serde(default = "default_max_bytes")]
    pub max_bytes: u64,
    /// Whether the material libraries and textures that a mesh file names are read too.
    #[serde(default)]
    pub materials: bool,
}

/// Bytes of all sidecars of a sample: a column of a batch holds less than 2^31.
const MOST_SIDECAR_BYTES: u64 = 32 << 20;

/// Stands in a stamp between that of a mesh file and the hash of those of the files that it names.
const NAMES: &str = ", names ";

fn default_extensions() -> Vec<String> {
    MeshFormat::ALL.iter().map(|format| format.extension().to_owned()).collect()
}

fn default_max_bytes() -> u64 {
    1 << 30
}

pub(crate) struct MeshesKind;

impl Kind for MeshesKind {
    fn name(&self) -> &'static str {
        "meshes"
    }

    fn summary(&self) -> &'static str {
        "Reads every mesh file below a folder; the first folder below it is the class."
    }

    fn manual(&self) -> &'static str {
        "Gives table `sample`: the raw bytes of every GLB, glTF, OBJ, OFF, PLY and STL file, whatever \
         the case of its extension. Nothing is decoded here.\n\n\
         The class is the first folder below `root`; a file that lies in `root` itself has the name \
         of `root` as its class. A sample's id is its path relative to `root` without extension, \
         with forward slashes: `chair/train/chair_0001`. Where that would name two files, as with \
         `fuze.obj` beside `fuze.ply`, all of them keep the extension in their id: `cup/fuze.obj`, \
         `cup/fuze.ply`. Files whose id is claimed by no other are never renamed.\n\n\
         Links are followed; one that leads back into a folder above itself is not. Names that \
         begin with a dot are passed over. A folder that cannot be read, a missing `root`, a `root` \
         without mesh files and a name that is no UTF-8 text stop the run before it begins.\n\n\
         Refused, file by file: `too_large` above `max_bytes`; `unreadable` when the file vanished, \
         is a broken link or may not be read, or a file it names is there and may not; `changed` when \
         size or time of modification are not what they were when the folder was listed, or change \
         during reading.\n\n\
         The buffers that a glTF names go along in `sidecars`, and `content` covers them; with \
         `materials`, so do the libraries and textures that a file names (`mtllib`, `map_Kd`, `comment \
         TextureFile`, images of a glTF). They are looked for below the \
         folder of the mesh file, or beside it where `..` stays in `root`; names of other places, \
         missing files, and what would be more than `max_bytes` or 32 MiB for one sample are left out, \
         which `decode_mesh` notes in `quirks`. One that comes, goes or changes is noticed as if the \
         mesh file had changed.\n\n\
         Cost: one directory walk, then one read a file, with `materials` two; a file lies in \
         memory as a whole."
    }

    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Inputs {
        Inputs::None
    }

    fn output(&self) -> &'static str {
        "sample"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"files\"\nuse = \"meshes\"\n\
         root = \"data/meshes\"\nextensions = [\"off\", \"obj\"]\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(MeshesParams)
    }

    fn build(&self, params: &Params, _: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        let params: MeshesParams = params.parse()?;
        let (formats, mut errors) = named_formats(&params.extensions);
        if params.root.as_os_str().is_empty() {
            errors.push(ParamError::new("root", "must name a folder"));
        }
        if params.max_bytes == 0 {
            errors.push(ParamError::new("max_bytes", "must be at least 1"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let MeshesParams { root, max_bytes, materials, .. } = params;
        let names_files = AtomicBool::new(false);
        Ok(Stage::Source(Arc::new(Meshes { root, formats, max_bytes, materials, names_files })))
    }
}

/// The formats of the given extensions, and what is wrong with them.
fn named_formats(extensions: &[String]) -> (Vec<MeshFormat>, Vec<ParamError>) {
    let (mut formats, mut errors) = (Vec::new(), Vec::new());
    for (i, extension) in extensions.iter().enumerate() {
        match MeshFormat::from_extension(extension) {
            Some(format) => formats.push(format),
            None => errors.push(ParamError {
                key: format!("extensions[{i}]"),
                message: format!("`{extension}` is no mesh format"),
                known: default_extensions(),
            }),
        }
    }
    if extensions.is_empty() {
        errors.push(ParamError::new("extensions", "must name at least one extension"));
    }
    (formats, errors)
}

struct Meshes {
    root: PathBuf,
    formats: Vec<MeshFormat>,
    max_bytes: u64,
    materials: bool,
    /// Whether a file that was listed names others.
    names_files: AtomicBool,
}

/// A mesh file as the walk met it.
struct Found {
    /// Path relative to the root, with forward slashes.
    path: String,
    bytes: u64,
    stamp: String,
}

/// What there is under a name.
enum Seen {
    File(FileFacts),
    BrokenLink,
}

/// Files by name, and folders: name, if it is UTF-8, and path.
type InFolder = (Vec<(String, Seen)>, Vec<(Option<String>, PathBuf)>);

impl Seen {
    /// What a look at a file showed; none when it is gone, or no file.
    fn of(metadata: io::Result<Metadata>) -> Option<Self> {
        let metadata = metadata.ok().filter(Metadata::is_file)?;
        Some(Self::File(FileFacts::of(&metadata)))
    }

    /// What is at a path, or where a link leads.
    fn at(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Err(_) if path.is_symlink() => Some(Self::BrokenLink),
            metadata => Self::of(metadata),
        }
    }
}

/// Whether a link leads back into a folder above itself.
fn leads_above(link: &Path, folder: &Path) -> bool {
    let (to, from) = (fs::canonicalize(link), fs::canonicalize(folder));
    to.is_ok_and(|to| from.is_ok_and(|from| from.starts_with(to)))
}

/// Sorts by name. Names begin alike; where they differ, the next bytes as a number tell most apart.
fn sort_by_name(files: &mut Vec<(String, Seen)>) {
    let Some((first, _)) = files.first() else { return };
    let common = files.iter().fold(first.len(), |common, (name, _)| {
        let same = name.bytes().zip(first.bytes()).take(common).take_while(|(a, b)| a == b);
        same.count()
    });
    let key = |name: &str| {
        let mut bytes = [0; 16];
        let rest = &name.as_bytes()[common..];
        let len = rest.len().min(16);
        bytes[..len].copy_from_slice(&rest[..len]);
        u128::from_be_bytes(bytes)
    };
    let taken = std::mem::take(files).into_iter();
    let mut keyed: Vec<(u128, (String, Seen))> = taken.map(|file| (key(&file.0), file)).collect();
    keyed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.0.cmp(&b.1.0)));
    *files = keyed.into_iter().map(|(_, file)| file).collect();
}

impl Source for Meshes {
    fn output(&self) -> Schema {
        tables::sample()
    }

    fn list(&self) -> Result<Listing, SetupFault> {
        self.check_root()?;
        let mut listing = Listing::default();
        self.list_folder(&self.root, Some(""), &mut listing)?;
        if listing.is_empty() {
            return Err(self.nothing_found());
        }
        listing.sort();
        Ok(listing)
    }

    fn open(&self, entries: &[Entry], refusals: &mut Refusals) -> Result<Batch, Fault> {
        let (kept, files) = map_rows(entries.len(), refusals, |row| {
            let bytes = self.read(&entries[row])?;
            let sidecars = self.sidecars(&entries[row], &bytes)?;
            Ok((bytes, sidecars))
        });
        let (files, sidecars): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let kept: Vec<&Entry> = kept.into_iter().map(|row| &entries[row]).collect();
        let paths = || kept.iter().map(|entry| entry.path.as_deref().unwrap_or_default());
        let values = vec![
            Values::utf8(kept.iter().map(|entry| entry.sample.as_str())),
            Values::utf8(kept.iter().map(|entry| &entry.category)),
            Values::fixed_binary(
                ContentHash::LEN,
                files.iter().zip(&sidecars).map(|(bytes, all)| *content(bytes, all).as_bytes()),
            ),
            Values::utf8(paths()),
            Values::utf8(paths().map(|path| split_extension(path).1.to_ascii_lowercase())),
            Values::binary(&files),
            Values::images(&sidecars),
        ];
        Ok(Batch::new(tables::sample(), values)?)
    }

    fn depends_on(&self) -> Vec<PathBuf> {
        vec![self.root.clone()]
    }

    fn relist(
        &self,
        changed: &[PathBuf],
        known: &dyn Known,
    ) -> Result<Option<Vec<Change>>, SetupFault> {
        // A file that others name is another sample's, too; and above the root nothing is known.
        let names_files = self.names_files.load(Ordering::Relaxed);
        let tells_little = |path: &PathBuf| *path == self.root || names_files && !self.takes(path);
        if changed.iter().any(tells_little) {
            return Ok(None);
        }
        self.check_root()?;
        let mut bases = BTreeSet::new();
        let mut found = Vec::new();
        for path in changed {
            let below = path.strip_prefix(&self.root).unwrap_or(path);
            let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
            let Some(parts) = parts else { return Ok(None) };
            if parts.iter().any(|part| part.starts_with('.')) {
                continue;
            }
            let relative = parts.join("/");
            // What was a folder, or is one: all that is or was in it.
            let was_in = known.beginning_with(&format!("{relative}/"));
            bases.extend(
                was_in.iter().filter_map(|e| e.path.as_deref().map(base)).map(str::to_owned),
            );
            if self.takes(path) || path.is_dir() {
                let seen = self.look(path, &relative)?;
                bases.extend(seen.iter().map(|file| base(&file.path).to_owned()));
                found.extend(seen);
                bases.insert(base(&relative).to_owned());
            }
        }
        self.relist_bases(&bases, found, known).map(Some)
    }
}

/// What ids of files that could claim one id begin with: the path up to the first dot of the file's name.
fn base(path: &str) -> &str {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let dot = path[name..].find('.').map_or(path.len(), |dot| name + dot);
    &path[..dot]
}

/// The hash of a file; with sidecars, of the hashes of all of them and of their names.
fn content(bytes: &[u8], sidecars: &[Image]) -> ContentHash {
    if sidecars.is_empty() {
        return ContentHash::of(bytes);
    }
    let mut all = ContentHash::of(bytes).as_bytes().to_vec();
    for sidecar in sidecars {
        let name = sidecar.path.as_deref().unwrap_or_default();
        all.extend_from_slice(&(name.len() as u64).to_le_bytes());
        all.extend_from_slice(name.as_bytes());
        all.extend_from_slice(ContentHash::of(&sidecar.bytes).as_bytes());
    }
    ContentHash::of(&all)
}

/// The path, relative to the root and with forward slashes, of the file that a mesh file at `mesh`
/// names; `None` when it would lie outside the root.
fn sidecar_path(mesh: &str, name: &str) -> Option<String> {
    if name.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = mesh.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    let is_plain = |part: &&str| Path::new(part).components().all(|c| matches!(c, Normal(_)));
    parts.iter().all(is_plain).then(|| parts.join("/"))
}

fn check_id(id: &str, path: &str) -> Result<(), SetupFault> {
    SampleId::check(id)
        .map_err(|error| SetupFault::new(format!("rename this file: {error}: {path:?}")))
}

/// The id of each path, in the order of the paths: the path without extension, or with it where another
/// file claims the same.
///
/// A path kept whole may in turn be what another file is called without its extension (`a.obj` and
/// `a.obj.off`), which is why this goes on until nothing clashes; it ends with all paths whole.
fn unique_ids<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let mut ids: Vec<&str> = paths.iter().map(|path| split_extension(path).0).collect();
    let mut order: Vec<usize> = (0..ids.len()).collect();
    loop {
        order.sort_unstable_by_key(|&i| ids[i]);
        let clashing = order.chunk_by(|&a, &b| ids[a] == ids[b]).filter(|same| same.len() > 1);
        let clashing = clashing.flatten().copied().filter(|&i| ids[i] != paths[i]);
        let clashing: Vec<usize> = clashing.collect();
        if clashing.is_empty() {
            return ids;
        }
        clashing.into_iter().for_each(|i| ids[i] = paths[i]);
    }
}

/// A path without its extension, and the extension; of `chair/.off` the extension is empty.
fn split_extension(path: &str) -> (&str, &str) {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[name..].rfind('.') {
        Some(dot) if dot > 0 => (&path[..name + dot], &path[name + dot + 1..]),
        _ => (path, ""),
    }
}

impl Meshes {
    fn check_root(&self) -> Result<(), SetupFault> {
        let shown = self.root.display();
        match fs::metadata(&self.root) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(SetupFault::new(format!(
                "parameter `root` must be a folder with one folder a class, this is a file: {shown}"
            ))),
            Err(error) => Err(SetupFault::new(format!(
                "parameter `root` must be a folder with one folder a class: {error}: {shown}"
            ))),
        }
    }

    fn nothing_found(&self) -> SetupFault {
        let extensions: Vec<_> =
            self.formats.iter().map(|f| format!("*.{}", f.extension())).collect();
        SetupFault::new(format!(
            "found no mesh files ({}); they should lie in <root>/<class>/: {}",
            extensions.join(", "),
            self.root.display()
        ))
    }

    /// The root's own name, for files that lie in no class's folder.
    fn root_class(&self) -> String {
        let whole = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
        whole.file_name().map_or("mesh".into(), |name| name.to_string_lossy().into_owned())
    }

    /// The samples of some files.
    fn entries(&self, mut found: Vec<Found>) -> Result<Listing, SetupFault> {
        let root_class = self.root_class();
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        let mut listing = Listing::default();
        for (file, sample) in found.iter().zip(unique_ids(&paths)) {
            check_id(sample, &file.path)?;
            let category = file.path.split_once('/').map_or(&*root_class, |(class, _)| class);
            let (bytes, path) = (file.bytes, Some(file.path.as_str()));
            listing.push(Listed { sample, category, path, bytes, stamp: &file.stamp });
        }
        Ok(listing)
    }

    /// What there is now of all files that begin with some [`base`]: those of them that were `found` just
    /// now, and the others that are known and still there.
    fn relist_bases(
        &self,
        bases: &BTreeSet<String>,
        mut found: Vec<Found>,
        known: &dyn Known,
    ) -> Result<Vec<Change>, SetupFault> {
        let mut before = BTreeSet::new();
        let mut others = BTreeSet::new();
        for base in bases {
            let claims =
                |entry: &Entry| entry.path.as_deref().is_some_and(|p| self::base(p) == base);
            let longer = known.beginning_with(&format!("{base}."));
            for entry in known.get(base).into_iter().chain(longer) {
                if claims(&entry) {
                    others.extend(entry.path.clone());
                    before.insert(entry.sample);
                }
            }
        }
        for file in &found {
            others.remove(&file.path);
        }
        for path in others {
            found.extend(self.look(&self.root.join(&path), &path)?);
        }
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        found.dedup_by(|a, b| a.path == b.path);
        let listing = self.entries(found)?;
        let entries = listing.unpack(&(0..listing.len() as u32).collect::<Vec<_>>());
        for entry in &entries {
            before.remove(&entry.sample);
        }
        let gone = before.into_iter().map(|sample| Change { sample, entry: None });
        let there = entries.into_iter();
        let there = there.map(|e| Change { sample: e.sample.clone(), entry: Some(e) });
        Ok(gone.chain(there).collect())
    }

    /// The mesh file at a path, or all below it when it is a folder; none where there is nothing.
    fn look(&self, path: &Path, relative: &str) -> Result<Vec<Found>, SetupFault> {
        if path.is_dir() {
            let mut listing = Listing::default();
            self.list_folder(path, Some(relative), &mut listing)?;
            let found = |Listed { path, bytes, stamp, .. }: Listed<'_>| Found {
                path: path.unwrap_or_default().to_owned(),
                bytes,
                stamp: stamp.to_owned(),
            };
            return Ok((0..listing.len()).map(|i| found(listing.get(i))).collect());
        }
        let seen = Seen::at(path).filter(|_| self.takes(path));
        let found = |seen: Seen| {
            let mut stamp = String::new();
            let bytes = self.describe(relative, &seen, &mut stamp);
            Found { path: relative.to_owned(), bytes, stamp }
        };
        Ok(seen.map(found).into_iter().collect())
    }

    /// Adds all mesh files below a folder to a listing. `relative` is its path from the root, if that is
    /// UTF-8.
    fn list_folder(
        &self,
        folder: &Path,
        relative: Option<&str>,
        listing: &mut Listing,
    ) -> Result<(), SetupFault> {
        let (files, folders) = self.read_folder(folder, relative.is_some())?;
        let prefix = match relative {
            Some("") | None => String::new(),
            Some(relative) => format!("{relative}/"),
        };
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let root_class = if prefix.is_empty() { self.root_class() } else { String::new() };
        let class = prefix.split_once('/').map_or(&*root_class, |(class, _)| class);
        let (mut path, mut sample, mut stamp) = (prefix.clone(), prefix.clone(), String::new());
        for ((name, seen), id) in files.iter().zip(unique_ids(&names)) {
            for (text, end) in [(&mut path, name.as_str()), (&mut sample, id)] {
                text.truncate(prefix.len());
                text.push_str(end);
            }
            check_id(&sample, &path)?;
            let bytes = self.describe(&path, seen, &mut stamp);
            let (sample, path, stamp) = (sample.as_str(), Some(path.as_str()), stamp.as_str());
            listing.push(Listed { sample, category: class, path, bytes, stamp });
        }
        for (name, path) in folders {
            let below = relative.and(name).map(|name| format!("{prefix}{name}"));
            self.list_folder(&path, below.as_deref(), listing)?;
        }
        Ok(())
    }

    /// Mesh files in a folder, by name, and the folders in it.
    fn read_folder(&self, folder: &Path, is_utf8: bool) -> Result<InFolder, SetupFault> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let unreadable = |error: io::Error| {
            SetupFault::new(format!("cannot list this folder: {error}: {}", folder.display()))
        };
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable)?;
            let takes = self.takes(Path::new(&name));
            if kind.is_dir() || kind.is_symlink() && entry.path().is_dir() {
                let path = entry.path();
                if !(kind.is_symlink() && leads_above(&path, folder)) {
                    folders.push((name.to_str().map(str::to_owned), path));
                }
                continue;
            }
            let seen = match takes {
                true if kind.is_file() => Seen::of(entry.metadata()),
                true if kind.is_symlink() => Seen::at(&entry.path()),
                _ => None,
            };
            let Some(seen) = seen else { continue };
            match name.into_string() {
                Ok(name) if is_utf8 => files.push((name, seen)),
                _ => {
                    let path = entry.path();
                    let message = "rename this file, its name is not UTF-8";
                    return Err(SetupFault::new(format!("{message}: {}", path.display())));
                }
            }
        }
        sort_by_name(&mut files);
        folders.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        Ok((files, folders))
    }

    /// Writes the stamp of a file; gives how much of it goes into memory at once.
    fn describe(&self, path: &str, seen: &Seen, stamp: &mut String) -> u64 {
        stamp.clear();
        match seen {
            Seen::File(metadata) => {
                write_stamp(metadata, stamp);
                metadata.bytes + self.count_sidecars(path, stamp)
            }
            Seen::BrokenLink => {
                stamp.push_str("broken link");
                0
            }
        }
    }

    fn takes(&self, path: &Path) -> bool {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let format = extension.and_then(MeshFormat::from_extension);
        format.is_some_and(|format| self.formats.contains(&format))
    }

    fn read(&self, entry: &Entry) -> Result<Vec<u8>, Fault> {
        let relative = entry.path.as_deref().unwrap_or_default();
        let path = self.root.join(relative);
        read_whole(&path, relative, self.max_bytes, |metadata| self.check(entry, metadata))
    }

    fn scope(&self) -> SidecarScope {
        if self.materials { SidecarScope::All } else { SidecarScope::Geometry }
    }

    /// The files that a mesh file names, as far as they are there and small enough.
    fn sidecars(&self, entry: &Entry, bytes: &[u8]) -> Result<Vec<Image>, Fault> {
        let path = entry.path.as_deref().unwrap_or_default();
        let format = MeshFormat::from_extension(split_extension(path).1);
        let Some(format) = format else { return Ok(Vec::new()) };
        let (mut left, mut failed) = (self.max_bytes.min(MOST_SIDECAR_BYTES), None);
        let found = gather_sidecars(format, bytes, self.scope(), &mut |name| {
            let path = sidecar_path(path, name)?;
            let read = self.read_sidecar(&path, left);
            let read = read.map_err(|error| failed.get_or_insert(unreadable(&error, &path)));
            let bytes = read.ok()??;
            left -= bytes.len() as u64;
            Some(bytes)
        });
        // Without it the sample would be another one than it is.
        failed.map_or(Ok(()), Err)?;
        let image = |(name, bytes)| Image { bytes, path: Some(name) };
        Ok(found.into_iter().map(image).collect())
    }

    /// Adds the files that a mesh file names to its stamp; gives their bytes. Of those only libraries are
    /// opened, which name more.
    fn count_sidecars(&self, path: &str, stamp: &mut String) -> u64 {
        let format = MeshFormat::from_extension(split_extension(path).1);
        // Most files need not be opened to tell that they name nothing.
        let may_name = |format: &MeshFormat| {
            self.materials || matches!(format, MeshFormat::Glb | MeshFormat::Gltf)
        };
        let Some(format) = format.filter(may_name) else { return 0 };
        let read = |path: &str, limit| self.read_sidecar(path, limit).ok().flatten();
        let bytes = read(path, self.max_bytes).unwrap_or_default();
        let (mut sum, most) = (0, self.max_bytes.min(MOST_SIDECAR_BYTES));
        let mut stamps = String::new();
        gather_sidecars(format, &bytes, self.scope(), &mut |name| {
            let path = sidecar_path(path, name)?;
            let metadata = fs::metadata(self.root.join(&path)).ok();
            let stamp = metadata.as_ref().map(crate::files::stamp).unwrap_or_default();
            stamps += &format!("{path}: {stamp}\n");
            sum += metadata?.len().min(most);
            let is_picture = !path.to_ascii_lowercase().ends_with(".mtl");
            if is_picture { Some(Vec::new()) } else { read(&path, most) }
        });
        if !stamps.is_empty() {
            self.names_files.store(true, Ordering::Relaxed);
            let hash = ContentHash::of(stamps.as_bytes()).to_string();
            let _ = write!(stamp, "{NAMES}{hash:.16}");
        }
        sum.min(most)
    }

    /// A file of at most `limit` bytes, if there is one.
    fn read_sidecar(&self, relative: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let path = self.root.join(relative);
        // A pipe, which would never end, is no file; nor is a folder.
        let is_small = |metadata: &Metadata| metadata.is_file() && metadata.len() <= limit;
        if !fs::metadata(&path).as_ref().is_ok_and(is_small) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(&path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    /// Whether a file is still what it was when it was listed, and not too large.
    fn check(&self, entry: &Entry, metadata: &Metadata) -> Result<(), Fault> {
        let path = entry.path.as_deref().unwrap_or_default();
        check_size(metadata.len(), self.max_bytes, path)?;
        let rest = entry.stamp.strip_prefix(&crate::files::stamp(metadata));
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(NAMES)) {
            return Err(changed_since(path));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;
    use tempfile::TempDir;

    /// A folder of files, each holding its own path.
    fn folder(paths: &[&str]) -> TempDir {
        let root = tempfile::Builder::new().prefix("cups").tempdir().expect("a folder");
        for path in paths {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().expect("a parent")).expect("writable");
            fs::write(file, path).expect("writable");
        }
        root
    }

    fn build(params: serde_json::Value) -> Result<Arc<dyn Source>, Vec<ParamError>> {
        let serde_json::Value::Object(params) = params else { panic!("parameters are a table") };
        let params = Params(params);
        let context = BuildContext { seed: 5, stage: "files".to_owned() };
        match MeshesKind.build(&params, &context)? {
            Stage::Source(source) => Ok(source),
            _ => panic!("meshes is a source"),
        }
    }

    fn source(root: &TempDir) -> Arc<dyn Source> {
        build(json!({"root": root.path(), "max_bytes": 100})).expect("good parameters")
    }

    fn ids(root: &TempDir) -> Vec<String> {
        let entries = source(root).scan().expect("a scan");
        entries.iter().map(|entry| format!("{} {}", entry.category, entry.sample)).collect()
    }

    fn refused(root: &TempDir, entries: &[Entry]) -> Vec<(usize, &'static str)> {
        let mut refusals = Refusals::default();
        source(root).open(entries, &mut refusals).expect("a batch");
        refusals.into_rows().into_iter().map(|(row, fault)| (row, fault.code)).collect()
    }

    #[test]
    fn the_first_folder_is_the_class() {
        let root = folder(&["chair/train/b.OFF", "chair/a.obj", "car/x.y.Ply", "car/notes.txt"]);
        assert_eq!(ids(&root), ["car car/x.y", "chair chair/a", "chair chair/train/b"]);
    }

    #[test]
    fn files_in_the_root_have_its_name_as_class() {
        let root = folder(&["a.stl"]);
        let entries = source(&root).scan().expect("a scan");
        assert!(entries[0].category.starts_with("cups"), "{}", entries[0].category);
        assert_eq!(entries[0].sample.as_str(), "a");
    }

    #[test]
    fn files_that_claim_one_id_keep_their_extensions() {
        let root = folder(&["c/fuze.obj", "c/fuze.PLY", "c/one.off", "d/fuze.obj"]);
        assert_eq!(ids(&root), ["c c/fuze.PLY", "c c/fuze.obj", "c c/one", "d d/fuze"]);
        let root = folder(&["c/a.obj", "c/a.off", "c/a.obj.stl"]);
        assert_eq!(ids(&root), ["c c/a.obj", "c c/a.obj.stl", "c c/a.off"]);
        let root = folder(&["c/a.off", "c/a.OFF"]);
        assert_eq!(ids(&root), ["c c/a.OFF", "c c/a.off"]);
    }

    #[test]
    fn rows_hold_the_bytes_of_the_files() {
        let root = folder(&["chair/a.OBJ", "chair/b.off"]);
        let entries = source(&root).scan().expect("a scan");
        let mut refusals = Refusals::default();
        let batch = source(&root).open(&entries, &mut refusals).expect("a batch");
        assert!(refusals.is_empty());
        assert_eq!(batch.schema(), &tables::sample());
        assert_eq!(batch.utf8("format").expect("formats").value(0), "obj");
        assert_eq!(batch.utf8("path").expect("paths").value(0), "chair/a.OBJ");
        assert_eq!(batch.binary("bytes").expect("bytes").value(1), b"chair/b.off");
        let content = batch.fixed_binary("content").expect("contents").value(1);
        assert_eq!(content, ContentHash::of(b"chair/b.off").as_bytes());
        assert_eq!(entries[1].bytes, 11);
    }

    #[test]
    fn sidecars_are_read_when_asked_for() {
        let root = folder(&["c/m/t.png", "c/big.png", "out.mtl"]);
        let write = |path: &str, text: &str| fs::write(root.path().join(path), text);
        write("c/a.obj", "mtllib m/a.mtl\nmtllib ../out.mtl\nmtllib ../../x.mtl gone\n")
            .expect("writable");
        write("c/m/a.mtl", "newmtl a\nmap_Kd t.png\nnewmtl b\nmap_Kd ..\\big.png\n")
            .expect("writable");
        fs::write(root.path().join("c/big.png"), [0; 101]).expect("writable");
        let open = |materials: bool| {
            let params = json!({"root": root.path(), "max_bytes": 100, "materials": materials});
            let source = build(params).expect("good");
            let entries = source.scan().expect("a scan");
            let sizes: Vec<_> = entries.iter().map(|entry| entry.bytes).collect();
            assert_eq!(sizes, if materials { [57 + 100] } else { [57] }, "max_bytes of sidecars");
            source.open(&entries, &mut Refusals::default()).expect("a batch")
        };
        let (with, without) = (open(true), open(false));
        let sidecars = with.images("sidecars").expect("sidecars");
        let names: Vec<_> = (0..sidecars.count(0)).filter_map(|i| sidecars.path(0, i)).collect();
        assert_eq!(names, ["m/a.mtl", "../out.mtl", "m/t.png"]);
        assert_eq!(sidecars.bytes(0, 2), b"c/m/t.png");
        assert_eq!(without.images("sidecars").expect("sidecars").count(0), 0);
        let content =
            |batch: &Batch| batch.fixed_binary("content").expect("contents").value(0).to_vec();
        let before = content(&with);
        assert_ne!(before, content(&without));
        write("c/m/t.png", "other").expect("writable");
        assert_ne!(before, content(&open(true)));
    }

    #[test]
    fn buffers_of_a_gltf_are_always_read() {
        let root = folder(&["c/b.bin", "c/t.png"]);
        let document = json!({
            "asset": {"version": "2.0"},
            "buffers": [{"byteLength": 7, "uri": "b.bin"}],
            "images": [{"uri": "t.png"}],
        });
        fs::write(root.path().join("c/a.gltf"), document.to_string()).expect("writable");
        for (materials, expected) in [(false, &["b.bin"][..]), (true, &["b.bin", "t.png"])] {
            let source = build(json!({"root": root.path(), "materials": materials})).expect("good");
            let entries = source.scan().expect("a scan");
            assert_eq!(
                entries[0].bytes,
                (document.to_string().len() + 7 * expected.len()) as u64,
                "a file holds its path"
            );
            let batch = source.open(&entries, &mut Refusals::default()).expect("a batch");
            let sidecars = batch.images("sidecars").expect("sidecars");
            let names: Vec<_> =
                (0..sidecars.count(0)).filter_map(|i| sidecars.path(0, i)).collect();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn sidecars_lie_below_the_root() {
        let path = |name: &str| sidecar_path("c/d/a.obj", name);
        assert_eq!(path("m/./b.mtl").as_deref(), Some("c/d/m/b.mtl"));
        assert_eq!(path("../../b.mtl").as_deref(), Some("b.mtl"));
        assert_eq!(path("../../../d/b.mtl"), None);
        assert_eq!(path("/etc/passwd"), None);
    }

    #[test]
    fn only_the_named_extensions_are_taken() {
        let root = folder(&["c/a.obj", "c/b.off"]);
        let source = build(json!({"root": root.path(), "extensions": ["OFF"]})).expect("good");
        assert_eq!(source.scan().expect("a scan").len(), 1);
        let errors = build(json!({"root": "", "extensions": ["fbx"], "max_bytes": 0}));
        let errors = errors.err().expect("three mistakes");
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["extensions[0]", "root", "max_bytes"]);
        assert_eq!(errors[0].known, ["glb", "gltf", "obj", "off", "ply", "stl"]);
    }

    #[test]
    fn set_up_mistakes_say_what_would_be_right() {
        let message = |path: PathBuf| {
            build(json!({"root": path})).expect("good").scan().expect_err("a fault").message
        };
        let root = folder(&["c/notes.txt"]);
        assert!(message(root.path().join("gone")).contains("one folder a class"));
        assert!(message(root.path().join("c/notes.txt")).contains("this is a file"));
        let none = message(root.path().to_owned());
        assert!(
            none.starts_with("found no mesh files (*.glb, *.gltf, *.obj, *.off, *.ply, *.stl)"),
            "{none}"
        );
    }

    #[test]
    fn bad_files_are_refused_one_by_one() {
        let root = folder(&["c/a.obj", "c/b.obj", "c/c.obj", "c/d.obj", "c/e.obj"]);
        fs::write(root.path().join("c/b.obj"), [b'x'; 101]).expect("writable");
        let entries = source(&root).scan().expect("a scan");
        fs::remove_file(root.path().join("c/c.obj")).expect("removable");
        fs::write(root.path().join("c/d.obj"), "longer than before").expect("writable");
        let expected = [(1, "too_large"), (2, "unreadable"), (3, "changed")];
        assert_eq!(refused(&root, &entries), expected);
    }

    #[test]
    fn hidden_names_are_passed_over() {
        let root = folder(&["c/a.obj", "c/._a.obj", ".git/b.obj", "c/.obj"]);
        assert_eq!(ids(&root), ["c c/a"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_circles() {
        use std::os::unix::fs::symlink;
        let root = folder(&["c/a.obj"]);
        symlink(root.path(), root.path().join("c/loop")).expect("a link");
        symlink(root.path().join("c"), root.path().join("d")).expect("a link");
        symlink("nowhere", root.path().join("c/b.obj")).expect("a link");
        symlink("nowhere", root.path().join("c/readme")).expect("a link");
        assert_eq!(ids(&root), ["c c/a", "c c/b", "d d/a", "d d/b"]);
        let entries = source(&root).scan().expect("a scan");
        assert_eq!(refused(&root, &entries), [(1, "unreadable"), (3, "unreadable")]);
    }

    #[cfg(unix)]
    #[test]
    fn odd_names_and_unreadable_folders_stop_the_scan() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::PermissionsExt;
        let root = folder(&["c/a.obj"]);
        let odd = root.path().join(std::ffi::OsStr::from_bytes(b"c/\xff.obj"));
        fs::write(&odd, "x").expect("writable");
        assert!(source(&root).scan().expect_err("a fault").message.contains("not UTF-8"));
        fs::rename(&odd, root.path().join("c/new\nline.obj")).expect("renamable");
        assert!(source(&root).scan().expect_err("a fault").message.contains("control character"));

        let root = folder(&["c/a.obj", "d/b.obj"]);
        let locked = root.path().join("d");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).expect("ours");
        let scan = source(&root).scan();
        let is_superuser = fs::read_dir(&locked).is_ok();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).expect("ours");
        match scan {
            Ok(entries) => assert!(is_superuser && entries.len() == 2),
            Err(fault) => assert!(fault.message.ends_with(&locked.display().to_string())),
        }
    }

    proptest::proptest! {
        #[test]
        fn ids_are_unique_and_only_clashes_keep_extensions(
            names in proptest::collection::btree_set("[ab]{1,2}(\\.(obj|off|OFF)){1,3}", 1..20),
        ) {
            let paths: Vec<&str> = names.iter().map(String::as_str).collect();
            let ids = unique_ids(&paths);
            let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
            proptest::prop_assert_eq!(distinct.len(), names.len());
            for (path, id) in paths.iter().zip(ids) {
                let stem = split_extension(path).0;
                let clashes = |other: &String| {
                    other != path && (split_extension(other).0 == stem || other == stem)
                };
                proptest::prop_assert!(id == stem || (id == *path && names.iter().any(clashes)));
            }
        }
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
    fn after_any_edits_of_files_and_folders_what_is_relisted_is_what_a_scan_finds() {
        let root = folder(&["cup/a.off", "cup/a.obj", "cup/b.off", "bowl/x/c.ply", "keep.stl"]);
        let source = source(&root);
        let mut known = All(source.scan().expect("a scan"));
        let mut random = voxflow_contract::Random::new(7, &["relist"]);
        let names =
            ["a.off", "a.obj", "a.obj.off", "a.ply", "a", "b.off", "b.x.off", ".h.off", "n.txt"];
        let folders = ["cup", "bowl", "bowl/x", "bowl/x/y", "a"];
        let mut pick =
            |all: &[&str]| root.path().join(all[random.below(all.len() as u64) as usize]);
        for round in 0..400 {
            let parent = pick(&folders);
            let file = parent.join(pick(&names).file_name().expect("a name"));
            let other = pick(&folders);
            let changed = match round % 5 {
                0 => fs::remove_file(&file).map(|()| vec![file]),
                1 => fs::rename(&parent, &other).map(|()| vec![parent, other]),
                2 => fs::remove_dir_all(&other).map(|()| vec![other]),
                _ => fs::create_dir_all(&parent)
                    .and_then(|()| fs::write(&file, format!("{round}")))
                    .map(|()| vec![parent, file]),
            };
            let Ok(changed) = changed else { continue };
            let changes = source.relist(&changed, &known).expect("a look").expect("it can tell");
            let mut now: BTreeMap<_, _> =
                known.0.drain(..).map(|entry| (entry.sample.clone(), entry)).collect();
            for Change { sample, entry } in changes {
                match entry {
                    Some(entry) => drop(now.insert(sample, entry)),
                    None => drop(now.remove(&sample)),
                }
            }
            known.0 = now.into_values().collect();
            assert_eq!(known.0, source.scan().expect("a scan"), "round {round}: {changed:?}");
        }
    }
}
