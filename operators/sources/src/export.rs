//! Procedural solids as files, in the layouts that data sets have.

use std::fs;
use std::path::{Path, PathBuf};

use voxflow_formats::{MeshFormat, encode_mesh};

use crate::solids::{SolidClass, solid};
use crate::synthetic::{object_name, spread};

/// Writes `count` solids of the given classes below `out`, spread evenly, and gives the number of
/// files written. The meshes are those that source `synthetic` gives for the same seed.
///
/// `progress` is called after each file with the number of files so far. When writing fails, what
/// was written stays.
///
/// # Errors
/// When no class is given, when `out` exists and is not an empty folder, or a file cannot be
/// written.
pub fn export_solids(
    out: &Path,
    layout: ExportLayout,
    classes: &[SolidClass],
    count: u64,
    seed: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, ExportError> {
    let mut classes = classes.to_vec();
    classes.sort();
    classes.dedup();
    if classes.is_empty() {
        return Err(ExportError::NoClass);
    }
    claim_folder(out)?;
    let mut written = 0;
    for (class, count) in spread(&classes, count) {
        for number in 1..=count {
            let path = out.join(layout.path(class, number, count));
            write_mesh(&path, layout.format(), class, seed, number)?;
            written += 1;
            progress(written);
        }
    }
    Ok(written)
}

/// How exported files lie in their folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExportLayout {
    /// `<class>/{train,test}/<class>_NNNN.off`; the first four fifths of each class are in `train`.
    Modelnet40,
    /// `<class>/<class>_NNNN.obj`.
    Meshes,
}

impl ExportLayout {
    fn format(self) -> MeshFormat {
        match self {
            Self::Modelnet40 => MeshFormat::Off,
            Self::Meshes => MeshFormat::Obj,
        }
    }

    fn path(self, class: SolidClass, number: u64, count: u64) -> PathBuf {
        let file = format!("{}.{}", object_name(class, number), self.format().extension());
        let folder = Path::new(class.name());
        match self {
            Self::Modelnet40 if number <= count - count / 5 => folder.join("train").join(file),
            Self::Modelnet40 => folder.join("test").join(file),
            Self::Meshes => folder.join(file),
        }
    }
}

/// Why solids could not be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// No class was given.
    #[error("there is no class to export")]
    NoClass,
    /// The folder holds something already.
    #[error("the folder is not empty, choose another or empty it: {}", .0.display())]
    NotEmpty(PathBuf),
    /// The file system refused.
    #[error("cannot {action}: {source}: {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::Io { action, path, source }
}

fn claim_folder(out: &Path) -> Result<(), ExportError> {
    fs::create_dir_all(out).map_err(io_error("make the folder", out))?;
    match fs::read_dir(out).map_err(io_error("read the folder", out))?.next() {
        Some(_) => Err(ExportError::NotEmpty(out.to_owned())),
        None => Ok(()),
    }
}

fn write_mesh(
    path: &Path,
    format: MeshFormat,
    class: SolidClass,
    seed: u64,
    number: u64,
) -> Result<(), ExportError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io_error("make the folder", folder))?;
    }
    let bytes = encode_mesh(format, &solid(class, seed, number));
    fs::write(path, bytes).map_err(io_error("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_formats::decode_mesh;

    const CLASSES: [SolidClass; 2] = [SolidClass::Table, SolidClass::Chair];

    fn files(root: &Path) -> Vec<String> {
        let mut files: Vec<_> = walkdir::WalkDir::new(root)
            .into_iter()
            .map(|entry| entry.expect("readable"))
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.path().strip_prefix(root).expect("below").display().to_string())
            .collect();
        files.sort();
        files
    }

    #[test]
    fn modelnet40_has_train_and_test() {
        let out = tempfile::tempdir().expect("a folder");
        let mut seen = Vec::new();
        let layout = ExportLayout::Modelnet40;
        let count = export_solids(out.path(), layout, &CLASSES, 7, 3, &mut |n| seen.push(n));
        assert_eq!(count.expect("written"), 7);
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
        let files = files(out.path());
        let expected = "chair/train/chair_0001.off chair/train/chair_0002.off \
                        chair/train/chair_0003.off chair/train/chair_0004.off \
                        table/train/table_0001.off table/train/table_0002.off \
                        table/train/table_0003.off";
        assert_eq!(files.join(" "), expected);
        assert_eq!(layout.path(SolidClass::Bed, 8, 10), Path::new("bed/train/bed_0008.off"));
        assert_eq!(layout.path(SolidClass::Bed, 9, 10), Path::new("bed/test/bed_0009.off"));
    }

    #[test]
    fn files_hold_the_same_meshes() {
        let out = tempfile::tempdir().expect("a folder");
        let layout = ExportLayout::Meshes;
        export_solids(out.path(), layout, &CLASSES, 2, 3, &mut |_| {}).expect("written");
        assert_eq!(files(out.path()), ["chair/chair_0001.obj", "table/table_0001.obj"]);
        let bytes = fs::read(out.path().join("chair/chair_0001.obj")).expect("readable");
        let decoded = decode_mesh(MeshFormat::Obj, &bytes).expect("an OBJ file");
        assert_eq!(decoded.mesh, solid(SolidClass::Chair, 3, 1));
        assert!(decoded.quirks.is_empty());
    }

    #[test]
    fn a_full_folder_is_left_alone() {
        let out = tempfile::tempdir().expect("a folder");
        fs::write(out.path().join("mine.txt"), "x").expect("writable");
        let error = export_solids(out.path(), ExportLayout::Meshes, &CLASSES, 2, 3, &mut |_| {});
        assert!(matches!(error, Err(ExportError::NotEmpty(path)) if path == out.path()));
        assert_eq!(files(out.path()), ["mine.txt"]);
        let error = export_solids(out.path(), ExportLayout::Meshes, &[], 2, 3, &mut |_| {});
        assert!(matches!(error, Err(ExportError::NoClass)));
    }
}
