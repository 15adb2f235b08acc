//! Colours of mesh files: numbers of either range into bytes, and a material for each face colour.

use std::collections::HashMap;

use voxflow_contract::{Appearance, Material};

/// Colours as a file has them, red green blue and alpha.
///
/// Files count to 1 or to 255, and few say which: where no number of the whole file is above 1, 1
/// is full.
#[derive(Debug, Default)]
pub(crate) struct ColorNumbers {
    rows: Vec<[f32; 4]>,
    is_over_one: bool,
}

impl ColorNumbers {
    /// A colour that is not known becomes white.
    const UNKNOWN: [f32; 4] = [f32::NAN; 4];

    /// Colours of a file that says that 255 is full.
    pub(crate) fn of_bytes() -> Self {
        Self { rows: Vec::new(), is_over_one: true }
    }

    /// Adds a colour of three or four numbers; `false` when one of them is none, and it is white.
    pub(crate) fn push(&mut self, numbers: &[f32]) -> bool {
        let mut row = Self::UNKNOWN;
        let is_color = matches!(numbers.len(), 3 | 4) && numbers.iter().all(|x| x.is_finite());
        if is_color {
            row[..numbers.len()].copy_from_slice(numbers);
            self.is_over_one |= numbers.iter().any(|number| *number > 1.0);
        }
        self.rows.push(row);
        is_color
    }

    /// Adds unknown colours until there are `len`.
    pub(crate) fn fill(&mut self, len: usize) {
        self.rows.resize(len.max(self.rows.len()), Self::UNKNOWN);
    }

    /// Colours so far.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The colours as bytes.
    pub(crate) fn into_bytes(self) -> Vec<[u8; 4]> {
        let scale = if self.is_over_one { 1.0 } else { 255.0 };
        // Not a number in the first three is an unknown colour, in the fourth full alpha.
        let byte = |x: f32| if x.is_nan() { 255 } else { (x * scale).round() as u8 };
        self.rows.into_iter().map(|row| row.map(byte)).collect()
    }
}

/// The colours of faces, of which some may have none.
#[derive(Debug, Default)]
pub(crate) struct FaceColors {
    colors: ColorNumbers,
    /// Number of the colour of each triangle, or [`Material::NONE`].
    triangles: Vec<u32>,
}

impl FaceColors {
    /// Colours of a file that says that 255 is full.
    pub(crate) fn of_bytes() -> Self {
        Self { colors: ColorNumbers::of_bytes(), triangles: Vec::new() }
    }

    /// The triangles from the last one that was painted to `end` have this colour.
    pub(crate) fn paint(&mut self, start: usize, end: usize, numbers: &[f32]) -> bool {
        self.triangles.resize(start, Material::NONE);
        let color = self.colors.len() as u32;
        let is_color = self.colors.push(numbers);
        self.triangles.resize(end.max(start), color);
        is_color
    }

    /// Writes a material for each distinct colour, in the order of the triangles, into `look`;
    /// nothing when no face had a colour.
    pub(crate) fn into_materials(mut self, triangles: usize, look: &mut Appearance) {
        if self.triangles.is_empty() {
            return;
        }
        self.triangles.resize(triangles, Material::NONE);
        let colors = self.colors.into_bytes();
        let mut numbers: HashMap<[u8; 4], u32> = HashMap::new();
        let mut material_of = |color: [u8; 4]| {
            let next = look.materials.len() as u32;
            let number = *numbers.entry(color).or_insert(next);
            if number == next {
                look.materials.push(Material { color, texture: None });
            }
            number
        };
        let mut last = (Material::NONE, Material::NONE);
        for triangle in &mut self.triangles {
            if let Some(color) = colors.get(*triangle as usize).filter(|_| *triangle != last.0) {
                last = (*triangle, material_of(*color));
            }
            *triangle = if *triangle == last.0 { last.1 } else { Material::NONE };
        }
        look.triangle_materials = self.triangles;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[&[f32]], expected: &[[u8; 4]]) {
        let mut colors = ColorNumbers::default();
        for row in rows {
            assert_eq!(colors.push(row), row.iter().all(|x| x.is_finite()), "{row:?}");
        }
        assert_eq!(colors.into_bytes(), expected, "{rows:?}");
    }

    #[test]
    fn both_ranges() {
        check(&[&[0.0, 0.5, 1.0], &[1.0, 0.0, 0.0, 0.25]], &[[0, 128, 255, 255], [255, 0, 0, 64]]);
        check(&[&[0.0, 1.0, 2.0], &[255.0, 300.0, -4.0, 7.0]], &[[0, 1, 2, 255], [255, 255, 0, 7]]);
        check(&[&[0.0, f32::NAN, 0.0]], &[[255; 4]]);
    }

    #[test]
    fn one_material_for_each_color() {
        let mut faces = FaceColors::default();
        let (red, blue) = ([255.0, 0.0, 0.0], [0.0, 0.0, 255.0]);
        for (start, end, color) in [(1, 3, red), (3, 4, blue), (5, 6, red), (6, 6, blue)] {
            faces.paint(start, end, &color);
        }
        let mut look = Appearance::default();
        faces.into_materials(8, &mut look);
        let none = Material::NONE;
        assert_eq!(look.triangle_materials, [none, 0, 0, 1, none, 0, none, none]);
        let colors: Vec<_> = look.materials.iter().map(|material| material.color).collect();
        assert_eq!(colors, [[255, 0, 0, 255], [0, 0, 255, 255]]);
    }
}
