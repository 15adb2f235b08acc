//! What the fuzz targets run: the properties of the codecs with memory counted, and soups of
//! triangles through the kernels.

pub mod allocator;
#[path = "../../operators/formats/tests/properties/codecs.rs"]
mod properties;
pub mod soup;

use properties::CODECS;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Runs the property of a codec; aborts when it takes more memory than the codec states.
///
/// # Panics
/// When the property does not hold, or there is no codec of this name.
pub fn check(codec: &str, bytes: &[u8]) {
    let codec = CODECS.iter().find(|known| known.name == codec).expect("a codec that is listed");
    allocator::at_most(codec.most_bytes(bytes.len()), || {
        (codec.check)(bytes);
    });
}
