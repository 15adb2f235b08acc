//! Arrays whose first axis is the fastest (Fortran, MATLAB) as arrays whose last axis is.

/// Reorders values of shape `shape`, first axis fastest, to the last axis fastest.
///
/// There must be as many values as the lengths multiply to.
pub(crate) fn to_row_major<T: Clone>(values: Vec<T>, shape: &[usize]) -> Vec<T> {
    // Axes of length 1 change nothing, and there may be as many as a file pleases.
    let shape: Vec<usize> = shape.iter().copied().filter(|len| *len != 1).collect();
    if values.is_empty() || shape.len() < 2 {
        return values;
    }
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for len in &shape {
        strides.push(stride);
        stride *= len;
    }
    let (inner_len, inner_stride) = (shape[shape.len() - 1], strides[shape.len() - 1]);
    let mut reordered = Vec::with_capacity(values.len());
    let mut place = vec![0; shape.len() - 1];
    let mut at = 0;
    while reordered.len() < values.len() {
        reordered.extend((0..inner_len).map(|i| values[at + i * inner_stride].clone()));
        // The next place of the other axes, the last of them fastest.
        for axis in (0..place.len()).rev() {
            place[axis] += 1;
            at += strides[axis];
            if place[axis] < shape[axis] {
                break;
            }
            at -= place[axis] * strides[axis];
            place[axis] = 0;
        }
    }
    reordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: &[usize]) {
        let count: usize = shape.iter().product();
        let reordered = to_row_major((0..count).collect(), shape);
        let expected = (0..count).map(|row_major| {
            let (mut rest, mut column_major) = (row_major, 0);
            for axis in (0..shape.len()).rev() {
                let stride: usize = shape[..axis].iter().product();
                column_major += rest % shape[axis] * stride;
                rest /= shape[axis];
            }
            column_major
        });
        assert_eq!(reordered, expected.collect::<Vec<_>>(), "{shape:?}");
    }

    #[test]
    fn every_value_goes_to_its_place() {
        for shape in [
            &[][..],
            &[4],
            &[1, 4],
            &[4, 1],
            &[2, 3],
            &[0, 3],
            &[2, 3, 4],
            &[1, 2, 1, 5],
            &[3, 1, 2, 2],
        ] {
            check(shape);
        }
    }
}
