//! Small pictures in a terminal, of half-block characters: grids as silhouettes, images in colour.

use voxflow_contract::VoxelGrid;

/// Most columns a picture takes.
const MAX_COLUMNS: usize = 64;

/// Three silhouettes of a grid side by side: seen along z (front), along x (side), along y (top).
/// Up is +y in the first two, -z in the third.
pub(crate) fn grid_silhouettes(grid: &VoxelGrid) -> String {
    let n = grid.resolution;
    let size = n.min(24);
    let last = n - 1;
    let front = silhouette(n, size, |u, v, w| grid.get(u, last - v, w));
    let side = silhouette(n, size, |u, v, w| grid.get(w, last - v, last - u));
    let top = silhouette(n, size, |u, v, w| grid.get(u, w, v));
    let title = |name: &str| format!("{:<size$}", &name[..name.len().min(size)]);
    let titles = ["front", "side", "top"].map(title).join("  ");
    let mut text = format!("{}\n", titles.trim_end());
    for row in (0..size).step_by(2) {
        let line: Vec<String> =
            [&front, &side, &top].map(|picture| half_row(picture, row)).to_vec();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// An image of RGBA pixels in 24-bit colour, at most 64 columns wide; without colours, in
/// characters from light to dark. Transparent pixels are the terminal's own background.
pub(crate) fn image_blocks(rgba: &[u8], width: usize, height: usize, has_colours: bool) -> String {
    if width == 0 || height == 0 || rgba.len() < width * height * 4 {
        return String::new();
    }
    let columns = width.min(if has_colours { MAX_COLUMNS } else { MAX_COLUMNS / 2 });
    let rows = (height * columns / width).max(1);
    let pixel =
        |column: usize, row: usize| mean_pixel(rgba, width, height, columns, rows, column, row);
    let mut text = String::new();
    for row in (0..rows).step_by(2) {
        for column in 0..columns {
            let (upper, lower) =
                (pixel(column, row), (row + 1 < rows).then(|| pixel(column, row + 1)));
            if has_colours {
                text.push_str(&colour_cell(upper, lower));
            } else {
                text.push(grey_cell(upper, lower));
            }
        }
        let end = if has_colours { "\x1b[0m\n" } else { "\n" };
        text.truncate(text.trim_end_matches(' ').len());
        text.push_str(end);
    }
    text
}

/// A square of `size` cells: whether any cell of the grid projects into each.
fn silhouette(n: usize, size: usize, get: impl Fn(usize, usize, usize) -> bool) -> Vec<Vec<bool>> {
    let span = |i: usize| (i * n / size)..((i + 1) * n / size).max(i * n / size + 1);
    let cell = |row: usize, column: usize| {
        span(column).any(|u| span(row).any(|v| (0..n).any(|w| get(u, v, w))))
    };
    (0..size).map(|row| (0..size).map(|column| cell(row, column)).collect()).collect()
}

fn half_row(picture: &[Vec<bool>], row: usize) -> String {
    let empty = vec![false; picture.len()];
    let lower = picture.get(row + 1).unwrap_or(&empty);
    let cells = picture[row].iter().zip(lower);
    cells
        .map(|pair| match pair {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        })
        .collect()
}

/// The mean of the pixels below a cell, colours weighted by their opacity.
fn mean_pixel(
    rgba: &[u8],
    width: usize,
    height: usize,
    columns: usize,
    rows: usize,
    column: usize,
    row: usize,
) -> [u8; 4] {
    let xs = (column * width / columns)
        ..((column + 1) * width / columns).max(column * width / columns + 1);
    let ys = (row * height / rows)..((row + 1) * height / rows).max(row * height / rows + 1);
    let (mut sum, mut opacity, mut count) = ([0u64; 3], 0u64, 0u64);
    for y in ys.start..ys.end.min(height) {
        for x in xs.start..xs.end.min(width) {
            let pixel = &rgba[(y * width + x) * 4..][..4];
            let alpha = u64::from(pixel[3]);
            (0..3).for_each(|i| sum[i] += u64::from(pixel[i]) * alpha);
            opacity += alpha;
            count += 1;
        }
    }
    let colour = sum.map(|s| (s / opacity.max(1)) as u8);
    [colour[0], colour[1], colour[2], (opacity / count.max(1)) as u8]
}

fn colour_cell(upper: [u8; 4], lower: Option<[u8; 4]>) -> String {
    let lower = lower.unwrap_or_default();
    let [r, g, b, _] = upper;
    let [lr, lg, lb, _] = lower;
    match (upper[3] >= 128, lower[3] >= 128) {
        (true, true) => format!("\x1b[38;2;{r};{g};{b};48;2;{lr};{lg};{lb}m▀\x1b[0m"),
        (true, false) => format!("\x1b[38;2;{r};{g};{b}m▀\x1b[0m"),
        (false, true) => format!("\x1b[38;2;{lr};{lg};{lb}m▄\x1b[0m"),
        (false, false) => " ".to_owned(),
    }
}

fn grey_cell(upper: [u8; 4], lower: Option<[u8; 4]>) -> char {
    const RAMP: [char; 9] = ['@', '%', '#', '*', '+', '=', '-', ':', '.'];
    let pixels = [upper, lower.unwrap_or(upper)];
    let opaque: Vec<_> = pixels.iter().filter(|pixel| pixel[3] >= 128).collect();
    if opaque.is_empty() {
        return ' ';
    }
    let grey: u32 =
        opaque.iter().map(|p| (u32::from(p[0]) + u32::from(p[1]) + u32::from(p[2])) / 3).sum();
    RAMP[(grey as usize / opaque.len()) * (RAMP.len() - 1) / 255]
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::Fill;

    #[test]
    fn a_grid_is_seen_from_three_sides() {
        let mut grid = VoxelGrid::empty(4, [0.0; 3], [1.0; 3], Fill::Unknown);
        grid.set(0, 3, 0);
        let picture = grid_silhouettes(&grid);
        let rows: Vec<_> = picture.lines().collect();
        assert_eq!(rows, ["fron  side  top", "▀        ▀  ▀", ""]);
    }

    #[test]
    fn an_image_is_drawn_with_and_without_colours() {
        let rgba = [255, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 255, 0, 0, 0, 0];
        assert_eq!(image_blocks(&rgba, 2, 2, false), "#\n");
        let coloured = image_blocks(&rgba, 2, 2, true);
        assert!(coloured.contains("38;2;255;0;0;48;2;255;0;0m▀"), "{coloured:?}");
        assert_eq!(image_blocks(&[], 0, 0, true), "");
    }
}
