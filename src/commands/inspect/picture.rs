//! What is in a PNG or JPEG.

use std::path::Path;

use voxflow_formats::picture::{Picture, decode};

use super::facts::Facts;
use crate::commands::convert::read;
use crate::error::Error;
use crate::{terminal, terminal_picture};

/// Looks at a picture.
pub(super) fn picture(path: &Path) -> Result<Facts, Error> {
    let bytes = read(path)?;
    let picture = decode(&bytes).map_err(|e| Error::input("decode", path, e))?;
    let mut facts = Facts::new("picture");
    facts.add("bytes", bytes.len());
    facts.add("width_px", picture.width);
    facts.add("height_px", picture.height);
    facts.add("channels", picture.channels);
    facts.picture = draw(&picture);
    Ok(facts)
}

/// The picture in characters.
pub(super) fn draw(picture: &Picture) -> String {
    let rgba: Vec<u8> = picture
        .data
        .chunks_exact(usize::from(picture.channels.max(1)))
        .flat_map(|pixel| match *pixel {
            [r, g, b, a] => [r, g, b, a],
            [r, g, b] => [r, g, b, 255],
            _ => [pixel[0], pixel[0], pixel[0], 255],
        })
        .collect();
    let (width, height) = (picture.width as usize, picture.height as usize);
    terminal_picture::image_blocks(&rgba, width, height, terminal::has_colours())
}
