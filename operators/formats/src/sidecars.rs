//! The files that a mesh file names: which they are, and how they are found again.

use std::collections::{BTreeMap, BTreeSet};

use crate::mesh_format::MeshFormat;
use crate::scan::Scanner;

/// A file that a mesh file names: a material library, a picture or a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sidecar<'a> {
    /// Its path relative to the folder of the mesh file.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// Which of the files that a mesh file names are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SidecarScope {
    /// Those without which there is no mesh: the buffers of a glTF.
    Geometry,
    /// All of them.
    All,
}

/// Names that a mesh and its libraries are asked for at most: a file of nothing but names must not
/// keep a reader opening files.
const MOST_NAMES: usize = 1024;

/// Paths, relative to the folder of the mesh file and with forward slashes, of the files that a mesh
/// file names itself: libraries (`mtllib`) of an OBJ, pictures (`comment TextureFile`) of a PLY, buffers
/// and pictures of a glTF.
///
/// The names of one `mtllib` line may hold blanks or be separated by them, which only the folder
/// can tell: the line as a whole is a name, and so is each of its words.
pub fn sidecar_names(format: MeshFormat, bytes: &[u8], scope: SidecarScope) -> Vec<String> {
    let names = match format {
        MeshFormat::Glb | MeshFormat::Gltf => crate::glb::sidecar_names(bytes, scope),
        _ if scope == SidecarScope::Geometry => Vec::new(),
        MeshFormat::Obj => library_lines(bytes).iter().flat_map(|line| candidates(line)).collect(),
        MeshFormat::Ply => crate::ply::texture_files(bytes),
        _ => Vec::new(),
    };
    distinct(names)
}

/// Names of the pictures that a material library (MTL) paints with, relative to its own folder.
pub fn texture_names(library: &[u8]) -> Vec<String> {
    let materials = crate::mtl::decode(library);
    distinct(materials.into_iter().filter_map(|material| material.texture).collect())
}

/// The files of `scope` that a mesh file or one of its libraries names, as `read` gives them by path
/// relative to the folder of the mesh file. Those it does not give are left out.
pub fn gather_sidecars(
    format: MeshFormat,
    bytes: &[u8],
    scope: SidecarScope,
    read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    let mut asked = BTreeSet::new();
    let mut ask = |name: String, found: &mut Vec<(String, Vec<u8>)>| -> bool {
        if asked.len() >= MOST_NAMES || !asked.insert(name.clone()) {
            return found.iter().any(|(known, _)| *known == name);
        }
        let bytes = read(&name);
        let is_found = bytes.is_some();
        found.extend(bytes.map(|bytes| (name, bytes)));
        is_found
    };
    if format != MeshFormat::Obj || scope == SidecarScope::Geometry {
        for name in sidecar_names(format, bytes, scope) {
            ask(name, &mut found);
        }
        return found;
    }
    for line in library_lines(bytes) {
        let names = candidates(&line);
        let (whole, words) = names.split_at(names.len().min(1));
        if !whole.iter().any(|name| ask(name.clone(), &mut found)) {
            for name in words {
                ask(name.clone(), &mut found);
            }
        }
    }
    for library in 0..found.len() {
        let (path, names) = (found[library].0.clone(), texture_names(&found[library].1));
        for name in names {
            let beside = beside(&path, &name);
            if !ask(beside, &mut found) {
                ask(name, &mut found);
            }
        }
    }
    found
}

/// What stands behind each `mtllib`, each once.
pub(crate) fn library_lines(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    let statements = lines.filter_map(|line| {
        let line = line.trim_ascii_start();
        line.strip_prefix(b"mtllib").filter(|rest| rest.first().is_some_and(|b| *b <= b' '))
    });
    distinct(statements.map(|line| library_line(Scanner::new(line).rest_of_line())).collect())
}

/// What stands behind one `mtllib`, as text.
pub(crate) fn library_line(rest: &[u8]) -> String {
    String::from_utf8_lossy(rest).into_owned()
}

/// The names one `mtllib` may mean: all of it, or its words.
pub(crate) fn candidates(line: &str) -> Vec<String> {
    let words = line.split_whitespace().map(plain_name);
    let mut names = vec![plain_name(line)];
    names.extend(words.filter(|word| !word.is_empty()));
    names.retain(|name| !name.is_empty());
    distinct(names)
}

/// A name as it is asked for: slashes forward, no `./` in front, no quotes around.
pub(crate) fn plain_name(name: &str) -> String {
    let name = name.trim().trim_matches('"').trim().replace('\\', "/");
    let mut rest = name.as_str();
    while let Some(shorter) = rest.strip_prefix("./") {
        rest = shorter.trim_start_matches('/');
    }
    rest.to_owned()
}

/// The path of a file that lies, under `name`, in the folder of the file `path`.
pub(crate) fn beside(path: &str, name: &str) -> String {
    let folder = path.rfind('/').map_or("", |slash| &path[..=slash]);
    format!("{folder}{name}")
}

/// Whether bytes are of a picture that tables may hold: PNG or JPEG.
pub(crate) fn is_picture(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n") || bytes.starts_with(b"\xff\xd8\xff")
}

/// Sidecars by plain name; of two of one name the first counts.
pub(crate) struct SidecarIndex<'a>(BTreeMap<String, Sidecar<'a>>);

impl<'a> SidecarIndex<'a> {
    /// An index of `sidecars`.
    pub(crate) fn of(sidecars: &[Sidecar<'a>]) -> Self {
        let named = sidecars.iter().rev().map(|sidecar| (plain_name(sidecar.name), *sidecar));
        Self(named.collect())
    }

    /// The sidecar of this plain name.
    pub(crate) fn find(&self, name: &str) -> Option<Sidecar<'a>> {
        self.0.get(name).copied()
    }
}

fn distinct(names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).take(MOST_NAMES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: MeshFormat, bytes: &str, expected: &[&str]) {
        assert_eq!(
            sidecar_names(format, bytes.as_bytes(), SidecarScope::All),
            expected,
            "{bytes:?}"
        );
    }

    #[test]
    fn names() {
        check(MeshFormat::Obj, "v 0 0 0\n mtllib\t.\\a\\b.mtl \r\nmtllibx y\n", &["a/b.mtl"]);
        check(MeshFormat::Obj, "mtllib a b.mtl # c\nmtllib b.mtl\n", &["a b.mtl", "a", "b.mtl"]);
        check(MeshFormat::Off, "OFF\nmtllib a\n", &[]);
        check(MeshFormat::Stl, "mtllib a\n", &[]);
        let ply = "ply\nformat ascii 1.0\ncomment TextureFile  a b.png \ncomment TextureFile\n\
                   element vertex 1\nproperty float x\nend_header\ncomment TextureFile c\n";
        check(MeshFormat::Ply, ply, &["a b.png"]);
        check(MeshFormat::Ply, "OFF\n", &[]);
        let geometry = sidecar_names(MeshFormat::Obj, b"mtllib a.mtl\n", SidecarScope::Geometry);
        assert!(geometry.is_empty(), "an OBJ has its mesh in itself");
    }

    #[test]
    fn files_are_read_once_and_pictures_beside_their_library() {
        let mut asked = Vec::new();
        let found = gather_sidecars(
            MeshFormat::Obj,
            b"mtllib m/a.mtl\nmtllib b c.mtl\nmtllib m/a.mtl\n",
            SidecarScope::All,
            &mut |name| {
                asked.push(name.to_owned());
                match name {
                    "m/a.mtl" => Some(b"newmtl x\nmap_Kd t.png\nnewmtl y\nmap_Kd u.png".to_vec()),
                    "m/t.png" | "u.png" | "c.mtl" => Some(b"?".to_vec()),
                    _ => None,
                }
            },
        );
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["m/a.mtl", "c.mtl", "m/t.png", "u.png"]);
        assert_eq!(asked, ["m/a.mtl", "b c.mtl", "b", "c.mtl", "m/t.png", "m/u.png", "u.png"]);
    }
}
