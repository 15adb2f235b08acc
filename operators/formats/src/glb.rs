//! glTF 2.0, as one binary file (GLB) or as JSON: the meshes of a scene as one mesh.
//!
//! Follows the Khronos specification "glTF 2.0", version 2.0.1. The document is read by
//! `gltf-json`; what it points to is looked up and measured here before a byte is read.

mod accessor;
mod look;
mod scene;
mod writer;

use std::borrow::Cow;

use gltf_json::Root;

use crate::error::FormatError;
use crate::mesh_format::DecodedMesh;
use crate::scan::error;
use crate::sidecars::SidecarScope;

pub(crate) use writer::{encode_glb, encode_gltf};

/// Finds the bytes of a file that the document names; `None` when they were not given.
pub type FindFile<'f, 'a> = &'f dyn Fn(&str) -> Option<&'a [u8]>;

/// Reads a GLB or a glTF, told apart by content.
///
/// The default scene, or the first, or all root nodes where there is no scene, becomes one mesh in
/// the frame of the scene: +Y up, right-handed, node transforms applied. Triangles, strips and fans
/// are read; points only where there is no triangle; lines never. Vertices of a triangle mesh stay
/// as they are stored, several primitives lie one after the other.
///
/// Of the look: base colour factor and texture, `COLOR_0`, `NORMAL` where all primitives have one
/// (turned with the node, made of unit length), the texture coordinates that the base colour's
/// texture uses. Linear colours become sRGB.
///
/// # Errors
/// `empty`, `bad_header`, `truncated`, `bad_json`, `unsupported` (another version, an extension that
/// the file requires, by name), `missing_file` (a buffer that `find` does not give), `bad_index`,
/// `bad_accessor`, `not_finite`, `too_large` (more than four vertices for each byte of the input).
pub fn decode<'a>(bytes: &'a [u8], find: FindFile<'_, 'a>) -> Result<DecodedMesh, FormatError> {
    let document = Document::read(bytes, find)?;
    scene::decode(&document)
}

/// The files a document names: buffers, then pictures if `scope` asks for them; empty when it cannot
/// be read.
pub fn sidecar_names(bytes: &[u8], scope: SidecarScope) -> Vec<String> {
    let Ok((root, _)) = split(bytes) else { return Vec::new() };
    let images = if scope == SidecarScope::All { root.images.as_slice() } else { &[] };
    let buffers = root.buffers.iter().filter_map(|buffer| buffer.uri.as_deref());
    let pictures = images.iter().filter_map(|image| image.uri.as_deref());
    buffers.chain(pictures).filter(|uri| !uri.starts_with("data:")).map(file_name).collect()
}

/// What a reader needs to know of a file.
struct Document<'a> {
    root: Root,
    /// The bytes of each buffer, or why there are none.
    buffers: Vec<Result<Cow<'a, [u8]>, FormatError>>,
    /// The bytes of each picture that is a file or written out in the document.
    pictures: Vec<Option<Cow<'a, [u8]>>>,
    /// Bytes of the file and of the files it names: what a reader may allocate is measured by it.
    input_len: usize,
}

impl<'a> Document<'a> {
    fn read(bytes: &'a [u8], find: FindFile<'_, 'a>) -> Result<Self, FormatError> {
        let (root, binary) = split(bytes)?;
        refuse_extensions(&root)?;
        let mut input_len = bytes.len();
        let mut load = |uri: &str| {
            let found = load(uri, find)?;
            // Bytes written out in the document are counted already.
            input_len += if matches!(found, Cow::Borrowed(_)) { found.len() } else { 0 };
            Ok(found)
        };
        let mut buffers = Vec::with_capacity(root.buffers.len());
        for (i, buffer) in root.buffers.iter().enumerate() {
            buffers.push(match (&buffer.uri, binary) {
                (Some(uri), _) => load(uri),
                (None, Some(binary)) if i == 0 => Ok(Cow::Borrowed(binary)),
                (None, _) => Err(fault("bad_header", format_args!("buffer {i} has no bytes"))),
            });
        }
        let picture =
            |image: &gltf_json::Image| image.uri.as_deref().and_then(|uri| load(uri).ok());
        let pictures = root.images.iter().map(picture).collect();
        Ok(Self { root, buffers, pictures, input_len })
    }

    /// The bytes of a buffer view, and the distance of its elements where the view says one.
    fn view(&self, number: usize) -> Result<(&[u8], Option<usize>), FormatError> {
        let views = &self.root.buffer_views;
        let view = views.get(number).ok_or_else(|| no_such("buffer view", number, views.len()))?;
        let buffer = view.buffer.value();
        let bytes = match self.buffers.get(buffer) {
            Some(Ok(bytes)) => bytes,
            Some(Err(fault)) => return Err(fault.clone()),
            None => return Err(no_such("buffer", buffer, self.buffers.len())),
        };
        let start = view.byte_offset.map_or(0, |offset| offset.0);
        let slice = range(bytes, start, view.byte_length.0).ok_or_else(|| {
            let (len, found) = (view.byte_length.0, bytes.len());
            let message = format_args!(
                "buffer view {number} is {len} bytes from byte {start} of a buffer of {found}"
            );
            fault("bad_accessor", message)
        })?;
        Ok((slice, view.byte_stride.map(|stride| stride.0).filter(|stride| *stride > 0)))
    }
}

/// `len` bytes from `start`, which may be anything.
fn range(bytes: &[u8], start: u64, len: u64) -> Option<&[u8]> {
    let (start, len) = (usize::try_from(start).ok()?, usize::try_from(len).ok()?);
    bytes.get(start..start.checked_add(len)?)
}

/// An error of something the document names by its number, which has no place in the file.
fn fault(code: &'static str, message: impl std::fmt::Display) -> FormatError {
    FormatError { code, message: message.to_string(), offset: None }
}

fn no_such(what: &str, number: usize, count: usize) -> FormatError {
    fault("bad_index", format_args!("{what} {number} is named, the file has {count}"))
}

const MAGIC: &[u8] = b"glTF";

/// The document and the binary chunk.
fn split(bytes: &[u8]) -> Result<(Root, Option<&[u8]>), FormatError> {
    if bytes.is_empty() {
        return Err(error("empty", 0, "the file holds no bytes"));
    }
    if !bytes.starts_with(MAGIC) {
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        return Ok((parse(text, bytes.len() - text.len())?, None));
    }
    let word = |at: usize| {
        let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
        word.map(u32::from_le_bytes).ok_or_else(|| cut_off(bytes, "its header"))
    };
    let version = word(4)?;
    if version != 2 {
        let message = format_args!("GLB version {version} is not supported, 2 is");
        return Err(error("unsupported", 4, message));
    }
    let end = word(8)? as usize;
    let whole = bytes.get(..end).ok_or_else(|| cut_off(bytes, "its chunks"))?;
    let (text, next) = chunk(whole, 12, b"JSON")?.ok_or_else(|| {
        error("bad_header", 12, "the first chunk of the file is not the JSON of the document")
    })?;
    let root = parse(text, 20)?;
    let binary = if next < whole.len() { chunk(whole, next, b"BIN\0")? } else { None };
    Ok((root, binary.map(|(binary, _)| binary)))
}

/// The chunk at byte `at` and where the next begins; `None` when it is of another sort.
fn chunk<'a>(
    bytes: &'a [u8],
    at: usize,
    sort: &[u8; 4],
) -> Result<Option<(&'a [u8], usize)>, FormatError> {
    let head = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    let [a, b, c, d, found @ ..] = head.ok_or_else(|| cut_off(bytes, "the head of a chunk"))?;
    let len = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
    let body = range(bytes, at as u64 + 8, len).ok_or_else(|| cut_off(bytes, "a chunk"))?;
    Ok((found == sort).then_some((body, at + 8 + body.len())))
}

fn cut_off(bytes: &[u8], place: &str) -> FormatError {
    error("truncated", bytes.len(), format_args!("the file ends inside {place}"))
}

/// Reads the document, which begins at byte `start` of the file.
fn parse(text: &[u8], start: usize) -> Result<Root, FormatError> {
    let root: Root = serde_json::from_slice(text).map_err(|cause| {
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let before: usize = lines.take(cause.line().saturating_sub(1)).map(<[u8]>::len).sum();
        let code = if cause.is_eof() { "truncated" } else { "bad_json" };
        error(code, start + before + cause.column(), format_args!("the document: {cause}"))
    })?;
    let version = &root.asset.version;
    let least = root.asset.min_version.as_deref().unwrap_or("2.0");
    if version.starts_with("2.") && least == "2.0" {
        return Ok(root);
    }
    let version: String = version.chars().take(16).collect();
    let message = format_args!("glTF version {version} is not supported, 2.0 is");
    Err(error("unsupported", start, message))
}

/// Extensions without which a file can be read here although it says it cannot, beside those of
/// materials: they change the look, or allow what is allowed here anyway.
const HARMLESS: &[&str] = &[
    "EXT_texture_avif",
    "EXT_texture_webp",
    "KHR_lights_punctual",
    "KHR_mesh_quantization",
    "KHR_texture_basisu",
    "KHR_texture_transform",
    "KHR_xmp_json_ld",
];

fn refuse_extensions(root: &Root) -> Result<(), FormatError> {
    let known = |name: &str| HARMLESS.contains(&name) || name.starts_with("KHR_materials_");
    let Some(name) = root.extensions_required.iter().find(|name| !known(name)) else {
        return Ok(());
    };
    let why = match name.as_str() {
        "KHR_draco_mesh_compression" => ": write the file again without Draco compression",
        "EXT_meshopt_compression" | "KHR_meshopt_compression" => {
            ": write the file again without meshopt compression"
        }
        _ => "",
    };
    let name: String = name.chars().take(64).collect();
    let message =
        format_args!("the file requires the extension `{name}`, which is not supported{why}");
    Err(fault("unsupported", message))
}

/// What a URI stands for: the bytes written out in it, or those of a file.
fn load<'a>(uri: &str, find: FindFile<'_, 'a>) -> Result<Cow<'a, [u8]>, FormatError> {
    if let Some(data) = uri.strip_prefix("data:") {
        let shown: String = uri.chars().take(48).collect();
        return data
            .split_once(";base64,")
            .and_then(|(_, text)| base64_bytes(text))
            .map(Cow::Owned)
            .ok_or_else(|| fault("bad_uri", format_args!("`{shown}` is no base64 data URI")));
    }
    let name = file_name(uri);
    find(&name).map(Cow::Borrowed).ok_or_else(|| {
        let shown: String = name.chars().take(120).collect();
        fault("missing_file", format_args!("the file needs `{shown}`, which was not given"))
    })
}

fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
    use base64::engine::{DecodePaddingMode, general_purpose::NO_PAD};
    let config: GeneralPurposeConfig =
        NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&base64::alphabet::STANDARD, config).decode(text).ok()
}

/// A relative URI as the name of a file: `%20` and the like stand for bytes.
fn file_name(uri: &str) -> String {
    let mut bytes = Vec::with_capacity(uri.len());
    let mut rest = uri.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.first_chunk::<2>().and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
