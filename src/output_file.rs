//! Files that commands write: beside their place first, then renamed, so that none is half-written.

use std::io::Write;
use std::path::Path;

use crate::error::Error;

/// Writes a file whole, making its folder where it is missing.
///
/// # Errors
/// When the disk fails or may not be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(|e| Error::disk("make the folder", folder, e))?;
    let fault = |e: std::io::Error| Error::disk("write", path, e);
    let mut file = tempfile::Builder::new()
        .prefix(".voxflow-")
        .permissions(permissions())
        .tempfile_in(folder)
        .map_err(fault)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(fault)?;
    file.persist(path).map_err(|e| fault(e.error))?;
    Ok(())
}

/// What a new file usually gets; temporary files are private otherwise.
fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o666)
}
