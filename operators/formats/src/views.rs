//! Lists of views in text: `rendering_metadata.txt` of 3D-R2N2 and `view.txt` of LSM.

use crate::error::FormatError;
use crate::scan::{Scanner, error};

/// A view of `rendering_metadata.txt`. Lengths and the camera are as its renderer had them; see
/// [`R2n2View::distance`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct R2n2View {
    /// Angle about the upright axis, 0 to 360 degrees.
    pub azimuth_deg: f64,
    /// Angle above the ground, 25 to 30 degrees.
    pub elevation_deg: f64,
    /// Angle about the line of sight, 0 degrees.
    pub in_plane_deg: f64,
    /// Distance of the camera over the most it can be, 0.65 to 0.95.
    pub distance_ratio: f64,
    /// Field of view as the file has it, 25 degrees. The pictures were not rendered with it, but with
    /// [`R2n2View::RENDERED_FIELD_OF_VIEW_DEG`].
    pub field_of_view_deg: f64,
}

impl R2n2View {
    /// Distance of the camera from the origin at ratio 1.
    pub const MOST_DISTANCE: f64 = 1.75;
    /// The field of view of the pictures: a lens of 35 mm before a sensor of 32 mm.
    pub const RENDERED_FIELD_OF_VIEW_DEG: f64 = 49.134_342_641_202_634;
    /// Views of each object of the data set.
    pub const VIEWS: usize = 24;

    /// Distance of the camera from the origin.
    pub fn distance(&self) -> f64 {
        self.distance_ratio * Self::MOST_DISTANCE
    }
}

/// A view of `view.txt`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LsmView {
    /// Angle about the upright axis, in degrees.
    pub azimuth_deg: f64,
    /// Angle above the ground, in degrees.
    pub elevation_deg: f64,
    /// Angle about the line of sight, in degrees.
    pub roll_deg: f64,
    /// Distance of the camera from the origin.
    pub distance: f64,
}

/// Reads `rendering_metadata.txt`: five numbers a line, one line a view. Blank lines and comments
/// (`#`) are passed over. The number of views is for the caller to compare.
///
/// # Errors
/// `empty`, `bad_number` (a line of fewer numbers, or something else), `bad_line` (a line of more),
/// `not_finite`, `truncated`.
///
/// ```
/// let views = voxflow_formats::views::decode_r2n2(b"247.4 29.8 0 0.8 25\n12 26 0 0.75 25\n")?;
/// assert_eq!(views.len(), 2);
/// assert_eq!((views[0].azimuth_deg, views[1].distance()), (247.4, 1.3125));
/// # Ok::<(), voxflow_formats::FormatError>(())
/// ```
pub fn decode_r2n2(bytes: &[u8]) -> Result<Vec<R2n2View>, FormatError> {
    let names =
        ["an azimuth", "an elevation", "an in-plane angle", "a distance", "a field of view"];
    let view =
        |[azimuth_deg, elevation_deg, in_plane_deg, distance_ratio, field_of_view_deg]: [f64;
             5]| {
            R2n2View { azimuth_deg, elevation_deg, in_plane_deg, distance_ratio, field_of_view_deg }
        };
    Ok(lines(bytes, names)?.into_iter().map(view).collect())
}

/// Reads `view.txt`: azimuth, elevation, roll and distance on a line, one line a view.
///
/// # Errors
/// As [`decode_r2n2`].
pub fn decode_lsm(bytes: &[u8]) -> Result<Vec<LsmView>, FormatError> {
    let names = ["an azimuth", "an elevation", "a roll", "a distance"];
    let view = |[azimuth_deg, elevation_deg, roll_deg, distance]: [f64; 4]| LsmView {
        azimuth_deg,
        elevation_deg,
        roll_deg,
        distance,
    };
    Ok(lines(bytes, names)?.into_iter().map(view).collect())
}

/// Lines of `N` finite numbers.
fn lines<const N: usize>(bytes: &[u8], names: [&str; N]) -> Result<Vec<[f64; N]>, FormatError> {
    let mut scanner = Scanner::new(bytes);
    let mut lines = Vec::new();
    while scanner.seek() {
        let mut numbers = [0.0_f64; N];
        for (number, name) in numbers.iter_mut().zip(names) {
            let start = scanner.offset();
            *number = scanner.number(name)?;
            if !number.is_finite() {
                return Err(scanner.error("not_finite", start, format_args!("{name} is {number}")));
            }
        }
        if !scanner.at_line_end() {
            return Err(scanner.unexpected("bad_line", "the end of the line"));
        }
        lines.push(numbers);
        scanner.skip_line();
    }
    if lines.is_empty() {
        return Err(error("empty", 0, "the file holds no views"));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is the debug text of the numbers, or `code: message`.
    fn check(text: &str, expected: &str) {
        let found = match decode_lsm(text.as_bytes()) {
            Ok(views) => {
                let numbers =
                    |v: &LsmView| [v.azimuth_deg, v.elevation_deg, v.roll_deg, v.distance];
                format!("{:?}", views.iter().map(numbers).collect::<Vec<_>>())
            }
            Err(e) => format!("{}: {}", e.code, e.message),
        };
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn lines_of_numbers() {
        check("1 -2.5 0 3e0", "[[1.0, -2.5, 0.0, 3.0]]");
        check(
            "# views\r\n1 2 3 4\r\n\r\n5\t6 7 8 # last",
            "[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]",
        );
    }

    #[test]
    fn refusals() {
        check("", "empty: the file holds no views");
        check("\n# none\n", "empty: the file holds no views");
        check(
            "1 2 3 4\n1 2 3\n5",
            "bad_number: line 2: expected a distance, found the end of the line",
        );
        check("1 2 3", "truncated: line 1: expected a distance, found the end of the file");
        check("1 2 3 4 5", "bad_line: line 1: expected the end of the line, found `5`");
        check("1 2 3 4\nx 2 3 4", "bad_number: line 2: expected an azimuth, found `x`");
        check("1 nan 3 4", "not_finite: line 1: an elevation is NaN");
    }

    #[test]
    fn the_lens_is_the_one_of_the_renderer() {
        let degrees = 2.0 * (0.5 * 32.0 / 35.0_f64).atan().to_degrees();
        assert!((degrees - R2n2View::RENDERED_FIELD_OF_VIEW_DEG).abs() < 1e-9, "{degrees}");
    }
}
