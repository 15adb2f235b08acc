//! MTL: the material libraries of Wavefront OBJ, of which the diffuse colour, the opacity and the
//! diffuse texture are read.
//!
//! Colours count as sRGB, as every viewer shows them. `d` is opacity, `Tr` one minus it and heeded
//! only where there is no `d`; a material without colour is white.

use crate::scan::Scanner;
use crate::sidecars::plain_name;

/// A material of a library.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LibraryMaterial {
    /// Its name, as `usemtl` calls it.
    pub(crate) name: Vec<u8>,
    /// Diffuse colour and opacity: sRGB and straight alpha.
    pub(crate) color: [u8; 4],
    /// Name of the diffuse texture, relative to the library's folder, with forward slashes.
    pub(crate) texture: Option<String>,
    /// Whether `Tr 1` alone said that nothing is to be seen. Some programs write opacity there;
    /// the material is opaque here.
    pub(crate) was_invisible: bool,
}

/// Reads a library. No bytes are refused: what is no statement of a material is passed over.
pub(crate) fn decode(bytes: &[u8]) -> Vec<LibraryMaterial> {
    let mut scanner = Scanner::new(bytes);
    let mut materials: Vec<Draft> = Vec::new();
    while scanner.seek() {
        let word = scanner.word().unwrap_or_default();
        match (word, materials.last_mut()) {
            (b"newmtl", _) => materials.push(Draft::named(scanner.rest_of_line())),
            (b"Kd", Some(material)) => material.diffuse = color(&mut scanner),
            (b"d", Some(material)) => {
                material.opacity = scanner.single("the opacity").ok();
            }
            (b"Tr", Some(material)) => {
                material.transparency = scanner.single("the transparency").ok();
            }
            (word, Some(material)) if word.eq_ignore_ascii_case(b"map_kd") => {
                material.texture = texture(scanner.rest_of_line());
            }
            _ => {}
        }
        scanner.skip_statement();
    }
    materials.into_iter().map(Draft::finish).collect()
}

/// A material whose statements are still coming.
struct Draft {
    name: Vec<u8>,
    diffuse: Option<[f32; 3]>,
    opacity: Option<f32>,
    transparency: Option<f32>,
    texture: Option<String>,
}

impl Draft {
    fn named(name: &[u8]) -> Self {
        let name = name.to_vec();
        Self { name, diffuse: None, opacity: None, transparency: None, texture: None }
    }

    fn finish(self) -> LibraryMaterial {
        let was_invisible = self.opacity.is_none() && self.transparency == Some(1.0);
        let transparency = self.transparency.filter(|_| !was_invisible).unwrap_or(0.0);
        let [r, g, b] = self.diffuse.unwrap_or([1.0; 3]);
        let color = [r, g, b, self.opacity.unwrap_or(1.0 - transparency)];
        LibraryMaterial {
            name: self.name,
            // Rounding into a byte clamps, and makes 0 of what is no number.
            color: color.map(|number| (number * 255.0).round() as u8),
            texture: self.texture,
            was_invisible,
        }
    }
}

/// `r g b`, or `r` alone for a grey; `None` for a spectral curve and the like.
fn color(scanner: &mut Scanner<'_>) -> Option<[f32; 3]> {
    let mut numbers = [0.0; 3];
    match scanner.more_numbers(&mut numbers) {
        0 => None,
        1 | 2 => Some([numbers[0]; 3]),
        _ => Some(numbers),
    }
}

/// The file name behind the options of a texture statement.
fn texture(rest: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(rest);
    let mut rest = text.trim();
    while let Some(after) = option_values(rest) {
        let (name, values) = after;
        rest = values;
        let most =
            if matches!(name, "-s" | "-o" | "-t") { 3 } else { 1 + usize::from(name == "-mm") };
        for taken in 0..most {
            let (word, behind) = split_word(rest);
            // Of the numbers of an option all but the first may be left out.
            if taken > 0 && word.parse::<f32>().is_err() {
                break;
            }
            rest = behind;
        }
    }
    Some(plain_name(rest)).filter(|name| !name.is_empty())
}

/// The option that a text begins with, and what comes behind its name.
fn option_values(text: &str) -> Option<(&str, &str)> {
    const OPTIONS: [&str; 13] = [
        "-s", "-o", "-t", "-mm", "-blendu", "-blendv", "-boost", "-cc", "-clamp", "-texres", "-bm",
        "-imfchan", "-type",
    ];
    let (word, behind) = split_word(text);
    OPTIONS.contains(&word).then_some((word, behind))
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace)
        .map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `name color texture` of each material.
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<_> = decode(text.as_bytes())
            .into_iter()
            .map(|m| {
                let name = String::from_utf8_lossy(&m.name).into_owned();
                format!("{name} {:?} {}", m.color, m.texture.unwrap_or_default())
            })
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn colors() {
        check("", &[]);
        check("Kd 1 1 1\nnewmtl a b \t\r\n", &["a b [255, 255, 255, 255] "]);
        check("newmtl a\nKd 0 0.5 1\nd 0.5\nTr 0.9\n", &["a [0, 128, 255, 128] "]);
        check("newmtl a\nKd 2 -1 nan\nTr 0.25 # c\n", &["a [255, 0, 0, 191] "]);
        check("newmtl a\nTr 1.000\n", &["a [255, 255, 255, 255] "]);
        check("newmtl a\nd 1\nTr 1\n", &["a [255, 255, 255, 255] "]);
        check("newmtl a\nd -halo 0.5\nKd spectral a.rfl\n", &["a [255, 255, 255, 255] "]);
        check("newmtl a\nKd 0.2\nnewmtl b\n", &["a [51, 51, 51, 255] ", "b [255, 255, 255, 255] "]);
    }

    #[test]
    fn textures() {
        for (statement, expected) in [
            ("map_Kd fuze uv.jpg", "fuze uv.jpg"),
            ("map_Kd .\\images\\a.png  ", "images/a.png"),
            ("map_kd -s 1 2 -o 0.5 -mm 0 1 -clamp on a b.png # c", "a b.png"),
            ("map_Kd -s 1 1 1 7.png", "7.png"),
            ("map_Kd -blendu off -imfchan r -x.png", "-x.png"),
            ("map_Kd -s", ""),
            ("map_Kd", ""),
            ("map_Ks a.png", ""),
        ] {
            check(
                &format!("newmtl m\n{statement}"),
                &[&format!("m [255, 255, 255, 255] {expected}")],
            );
        }
    }
}
