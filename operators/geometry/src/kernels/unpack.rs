//! `unpack`: a packed grid as columns of words; `padded` and `cropped`: the same with room around it.

use voxflow_contract::{Fault, VoxelGrid};

use crate::kernels::columns::Columns;

/// The cells of a grid, each column along z at words of its own.
///
/// # Errors
/// `resolution` when it is 0 or past 1024; `voxels` when the bits are not as many as it says.
pub(crate) fn unpack(grid: &VoxelGrid) -> Result<Columns, Fault> {
    let d = grid.resolution;
    if !(1..=VoxelGrid::MAX_RESOLUTION).contains(&d) {
        let message = format!("resolution {d} is not from 1 to {}", VoxelGrid::MAX_RESOLUTION);
        return Err(Fault::new("resolution", message));
    }
    if grid.bits().len() != VoxelGrid::byte_len(d) {
        return Err(Fault::new("voxels", format!("the bits are not those of a {d}^3 grid")));
    }
    let mut columns = Columns::empty(d);
    if d.is_multiple_of(64) {
        let words = grid.bits().as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        columns.bits.iter_mut().zip(words).for_each(|(to, word)| *to = word);
        return Ok(columns);
    }
    for number in 0..columns.bits.len() {
        let (column, word) = (number / columns.words, number % columns.words);
        let bits = bits_from(grid.bits(), column * d + word * 64);
        columns.bits[number] = bits & columns.valid_bits(word);
    }
    Ok(columns)
}

/// 64 bits from bit number `first` on; zeros past the end.
fn bits_from(bytes: &[u8], first: usize) -> u64 {
    let bytes = &bytes[first / 8..];
    let window = match bytes.first_chunk::<16>() {
        Some(window) => *window,
        None => {
            let mut window = [0; 16];
            window[..bytes.len()].copy_from_slice(bytes);
            window
        }
    };
    (u128::from_le_bytes(window) >> (first % 8)) as u64
}

/// The same cells in the middle of a grid with `margin` empty cells more on every side.
pub(crate) fn padded(columns: &Columns, margin: usize) -> Columns {
    let d = columns.resolution;
    let mut wide = Columns::empty(d + 2 * margin);
    for x in 0..d {
        for y in 0..d {
            let from = &columns.bits[(x * d + y) * columns.words..][..columns.words];
            let start = ((x + margin) * wide.resolution + y + margin) * wide.words;
            let to = &mut wide.bits[start..][..wide.words];
            for (number, word) in from.iter().enumerate() {
                let (at, shift) = (number + margin / 64, margin % 64);
                to[at] |= word << shift;
                // What is shifted out of the last word is not there: the column is wide enough.
                if shift > 0 && at + 1 < to.len() {
                    to[at + 1] |= word >> (64 - shift);
                }
            }
        }
    }
    wide
}

/// What [`padded`] was given: the middle of the grid.
pub(crate) fn cropped(columns: &Columns, margin: usize) -> Columns {
    let mut narrow = Columns::empty(columns.resolution - 2 * margin);
    let d = narrow.resolution;
    for x in 0..d {
        for y in 0..d {
            let start = ((x + margin) * columns.resolution + y + margin) * columns.words;
            let from = &columns.bits[start..][..columns.words];
            for word in 0..narrow.words {
                let (at, shift) = (word + margin / 64, margin % 64);
                let next = from.get(at + 1).filter(|_| shift > 0);
                let bits = from[at] >> shift | next.map_or(0, |next| next << (64 - shift));
                narrow.bits[(x * d + y) * narrow.words + word] = bits & narrow.valid_bits(word);
            }
        }
    }
    narrow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::Fill;

    #[test]
    fn packing_and_cropping_give_back_what_unpacking_and_padding_took() {
        for resolution in [1, 2, 7, 8, 32, 50, 63, 64, 65, 128] {
            let grid = testing::random_grid(resolution, 0.4, 3);
            let columns = unpack(&grid).expect("a grid");
            assert_eq!(columns.pack(grid.translation, grid.scale, grid.fill), grid);
            for margin in [1, 2, 31, 64, 70] {
                let wide = padded(&columns, margin);
                assert_eq!(cropped(&wide, margin), columns, "{resolution} {margin}");
                let wide = wide.pack([0.0; 3], [1.0; 3], Fill::Unknown);
                assert_eq!(wide.occupied(), grid.occupied());
                let last = resolution - 1;
                assert_eq!(wide.get(margin, margin, margin + last), grid.get(0, 0, last));
            }
        }
    }

    #[test]
    fn grids_of_no_size_are_refused() {
        let empty = VoxelGrid::empty(0, [0.0; 3], [1.0; 3], Fill::Unknown);
        assert_eq!(unpack(&empty).expect_err("no cells").code, "resolution");
        let mut lying = VoxelGrid::empty(2, [0.0; 3], [1.0; 3], Fill::Unknown);
        lying.resolution = 9;
        assert_eq!(unpack(&lying).expect_err("too few bits").code, "voxels");
    }
}
