//! The ordinary lines of text formats: numbers, blanks between them and a line feed, nothing else.
//!
//! Each function gives `None`, having done nothing, when a line holds anything else, and the caller
//! then reads it word by word. Places are byte offsets; they come back as the start of the next line.

use crate::numbers::{f32_at, u32_at};

/// The number of no texture coordinate and of no normal.
pub(crate) const NONE: u32 = u32::MAX;

/// A corner of a face: numbers of vertex, texture coordinate and normal from 0.
pub(crate) type Corner = [u32; 3];

/// The rest of a line that holds `N` finite numbers.
#[inline]
pub(crate) fn numbers<const N: usize>(bytes: &[u8], mut at: usize) -> Option<([f32; N], usize)> {
    let mut numbers = [0.0; N];
    at = row(bytes, at, &mut numbers)?;
    Some((numbers, at))
}

/// The rest of a line that holds as many finite numbers as `numbers`.
#[inline]
pub(crate) fn row(bytes: &[u8], mut at: usize, numbers: &mut [f32]) -> Option<usize> {
    for number in numbers {
        (*number, at) = f32_at(bytes, skip_blanks(bytes, at))?;
        if *bytes.get(at)? > b' ' {
            return None;
        }
    }
    line_end(bytes, at)
}

/// The rest of a line that holds a count and as many whole numbers.
#[inline]
pub(crate) fn counted(bytes: &[u8], at: usize, row: &mut Vec<u32>) -> Option<usize> {
    row.clear();
    let (count, mut at) = u32_at(bytes, skip_blanks(bytes, at))?;
    for _ in 0..count {
        if *bytes.get(at)? > b' ' {
            return None;
        }
        let (number, end) = u32_at(bytes, skip_blanks(bytes, at))?;
        row.push(number);
        at = end;
    }
    line_end(bytes, at)
}

/// The rest of a line of corners `v`, `v/vt`, `v//vn` or `v/vt/vn`, counted from 1.
#[inline]
pub(crate) fn corners(bytes: &[u8], mut at: usize, polygon: &mut Vec<Corner>) -> Option<usize> {
    polygon.clear();
    loop {
        at = skip_blanks(bytes, at);
        let (vertex, mut end) = number_from_0(bytes, at)?;
        let mut corner = [vertex, NONE, NONE];
        if *bytes.get(end)? == b'/' {
            end += 1;
            if *bytes.get(end)? != b'/' {
                (corner[1], end) = number_from_0(bytes, end)?;
            }
            if *bytes.get(end)? == b'/' {
                (corner[2], end) = number_from_0(bytes, end + 1)?;
            }
        }
        polygon.push(corner);
        at = end;
        if *bytes.get(at)? > b' ' {
            return None;
        }
        if let Some(next) = line_end(bytes, at) {
            return Some(next);
        }
    }
}

#[inline(always)]
fn number_from_0(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let (number, end) = u32_at(bytes, at)?;
    Some((number.checked_sub(1)?, end))
}

#[inline(always)]
fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The start of the next line when only blanks are left on this one.
#[inline(always)]
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    let at = skip_blanks(bytes, at);
    match *bytes.get(at)? {
        b'\n' => Some(at + 1),
        b'\r' if bytes.get(at + 1) == Some(&b'\n') => Some(at + 2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight bytes that the readers want to see behind a number.
    const BEHIND: &str = "v 1 2 3 4\n";

    fn check_corners(line: &str, expected: Option<&[Corner]>) {
        let (text, mut polygon) = (format!("{line}{BEHIND}"), Vec::new());
        let end = corners(text.as_bytes(), 0, &mut polygon);
        assert_eq!(end, expected.map(|_| line.len()), "{line:?}");
        if let Some(expected) = expected {
            assert_eq!(polygon, expected, "{line:?}");
        }
    }

    #[test]
    fn lines_of_corners() {
        let plain = [[0, NONE, NONE], [1, NONE, NONE]];
        check_corners("1 2\n", Some(&plain));
        check_corners(" 1\t2 \r\n", Some(&plain));
        check_corners("1/3/4 2//5\n", Some(&[[0, 2, 3], [1, NONE, 4]]));
        check_corners("1/3 2\n", Some(&[[0, 2, NONE], [1, NONE, NONE]]));
        for odd in ["\n", "0 1\n", "-1 2\n", "1/ 2\n", "1// 2\n", "1 2 # c\n", "1 2\\\n", "1 2\r"] {
            check_corners(odd, None);
        }
    }

    #[test]
    fn lines_of_numbers() {
        let read = |line: &str| numbers::<2>(format!("{line}{BEHIND}").as_bytes(), 0);
        assert_eq!(read("1.5 -2\n"), Some(([1.5, -2.0], 7)));
        assert_eq!(read(" 1.5\t-2 \r\n"), Some(([1.5, -2.0], 10)));
        for odd in ["1.5\n", "1 2 3\n", "1 nan\n", "1 2\r", "1,5 2\n", "1 2#\n"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
        let mut row = Vec::new();
        let mut read = |line: &str| {
            let end = counted(format!("{line}{BEHIND}").as_bytes(), 0, &mut row);
            end.map(|end| (row.clone(), end))
        };
        assert_eq!(read("2 1 22\n"), Some((vec![1, 22], 7)));
        assert_eq!(read(" 0 \r\n"), Some((vec![], 5)));
        for odd in ["2 1\n", "1 2 3\n", "1 2.5\n", "1 -2\n", "1 2 # c\n", "22\n"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
    }
}
