//! Ranges: numbers of a pipeline that must lie between two others.

use std::fmt::Display;
use std::ops::RangeInclusive;

use voxflow_contract::ParamError;

/// What is wrong with parameter `key` when `value` is not in `range`; NaN is in no range.
pub(crate) fn range_error<T: Copy + PartialOrd + Display>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Option<ParamError> {
    let message = format!("must be from {} to {}, not {value}", range.start(), range.end());
    (!range.contains(&value)).then(|| ParamError::new(key, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_are_named() {
        assert_eq!(range_error("size", 8, 8..=64), None);
        let error = range_error("size", 7, 8..=64).expect("too small");
        assert_eq!(
            (error.key.as_str(), error.message.as_str()),
            ("size", "must be from 8 to 64, not 7")
        );
        assert!(range_error("fov", f64::NAN, 1.0..=2.0).is_some());
    }
}
