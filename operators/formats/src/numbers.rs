//! Decimal numbers at the front of text, eight digits at a time.
//!
//! These are the ways for the ordinary number: they give `None` for whatever is odd (more digits
//! than fit, letters, the last bytes of a file), and whoever calls them then reads it the slow way.
//! What they give is the number that a correctly rounding parser gives, bit for bit.

/// Powers of ten that an `f64` holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
/// Digits of a number that an `i64` holds whatever they are.
const MOST_DIGITS: usize = 18;

/// The finite `f32` at byte `at`, and where it ends.
#[inline]
pub(crate) fn f32_at(bytes: &[u8], at: usize) -> Option<(f32, usize)> {
    let decimal = decimal_at(bytes, at)?;
    let wide = decimal.nearest()?;
    // Rounded twice, here to 53 and below to 24 bits, a number can come out wrong only when the first
    // gave the middle between two `f32`; `nearest` may be off by two units in its last place.
    let below_f32 = wide.to_bits() & 0x1fff_ffff;
    let is_clear = below_f32.abs_diff(0x1000_0000) > 4;
    let narrow = decimal.signed(wide) as f32;
    ((is_clear || wide == 0.0) && narrow.is_finite()).then_some((narrow, decimal.end))
}

/// The finite `f64` at byte `at`, and where it ends.
#[inline]
pub(crate) fn f64_at(bytes: &[u8], at: usize) -> Option<(f64, usize)> {
    let decimal = decimal_at(bytes, at)?;
    if decimal.digits > 1 << 53 {
        return None;
    }
    Some((decimal.signed(decimal.nearest()?), decimal.end))
}

/// The whole number without a sign at byte `at`, and where it ends.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let (value, count) = leading_digits(eight_at(bytes, at)?);
    if count < 8 {
        return (count > 0).then_some((value as u32, at + count));
    }
    let (more, more_count) = leading_digits(eight_at(bytes, at + 8)?);
    let value = value * POWERS[more_count] + more;
    (more_count < 8).then_some(())?;
    Some((u32::try_from(value).ok()?, at + 8 + more_count))
}

/// A number as it is written: `digits` times ten to the power of `-places + exponent`.
struct Decimal {
    is_negative: bool,
    digits: i64,
    power: i32,
    end: usize,
}

impl Decimal {
    /// The magnitude: exact but for one rounding when `digits` is at most 2^53, else for two.
    #[inline(always)]
    fn nearest(&self) -> Option<f64> {
        let power = *EXACT_POWERS.get(self.power.unsigned_abs() as usize)?;
        let digits = self.digits as f64;
        Some(if self.power < 0 { digits / power } else { digits * power })
    }

    #[inline(always)]
    fn signed(&self, magnitude: f64) -> f64 {
        if self.is_negative { -magnitude } else { magnitude }
    }
}

#[inline(always)]
fn decimal_at(bytes: &[u8], start: usize) -> Option<Decimal> {
    let is_negative = *bytes.get(start)? == b'-';
    let mut at = start + usize::from(is_negative);
    let (whole, mut count) = leading_digits(eight_at(bytes, at)?);
    let (mut digits, mut places) = (whole, 0);
    at += count;
    if count == 8 {
        return None;
    }
    if *bytes.get(at)? == b'.' {
        at += 1;
        let (value, mut len) = leading_digits(eight_at(bytes, at)?);
        digits = digits * POWERS[len] + value;
        if len == 8 {
            let (value, more) = leading_digits(eight_at(bytes, at + 8)?);
            // More digits than fit wrap; their number is looked at below.
            digits = digits.wrapping_mul(POWERS[more]).wrapping_add(value);
            len += more;
        }
        if len == 16 {
            // Eighteen digits, as many as an `f64` is written with.
            let (value, more) = leading_digits(eight_at(bytes, at + 16)?);
            if more > 2 {
                return None;
            }
            digits = digits.wrapping_mul(POWERS[more]).wrapping_add(value);
            len += more;
        }
        if count + len > MOST_DIGITS {
            return None;
        }
        places = len;
        at += len;
        count += len;
    }
    if count == 0 {
        return None;
    }
    let mut power = -(places as i32);
    if *bytes.get(at)? | 0x20 == b'e' {
        let (exponent, end) = exponent_at(bytes, at + 1)?;
        power += exponent;
        at = end;
    }
    Some(Decimal { is_negative, digits: digits as i64, power, end: at })
}

#[cold]
fn exponent_at(bytes: &[u8], start: usize) -> Option<(i32, usize)> {
    let sign = *bytes.get(start)?;
    let at = start + usize::from(matches!(sign, b'-' | b'+'));
    let (value, count) = leading_digits(eight_at(bytes, at)?);
    let value = i32::try_from(value).ok().filter(|_| (1..8).contains(&count))?;
    Some((if sign == b'-' { -value } else { value }, at + count))
}

#[inline(always)]
fn eight_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|eight| u64::from_le_bytes(*eight))
}

/// Value and number of the digits that eight bytes, the first being the lowest, begin with.
#[inline(always)]
fn leading_digits(eight: u64) -> (u64, usize) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Digits become 0 to 9; of every other byte the sum or the byte itself has the high bit, and a
    // carry of the sum only reaches bytes behind it.
    let values = eight ^ (EACH * 0x30);
    let others = (values.wrapping_add(EACH * 0x76) | values) & (EACH * 0x80);
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // Zeros in front, so that there are always eight digits.
    let values = values << (64 - 8 * count);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    const EVERY_FOURTH: u64 = 0x0000_00ff_0000_00ff;
    let high = (pairs & EVERY_FOURTH).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & EVERY_FOURTH).wrapping_mul(1 + (10_000 << 32));
    (high.wrapping_add(low) >> 32, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Both ways agree, or the quick one gives up; `is_quick` when it may not.
    fn check(text: &str, is_quick: bool) {
        let padded = format!("{text} 12345678");
        let narrow = f32_at(padded.as_bytes(), 0);
        let wide = f64_at(padded.as_bytes(), 0);
        assert!(narrow.is_some() || !is_quick, "{text}");
        if let Some((value, end)) = narrow {
            let slow: f32 = text.parse().expect("a number");
            assert_eq!((value.to_bits(), end), (slow.to_bits(), text.len()), "{text}");
        }
        if let Some((value, end)) = wide {
            let slow: f64 = text.parse().expect("a number");
            assert_eq!((value.to_bits(), end), (slow.to_bits(), text.len()), "{text}");
        }
    }

    #[test]
    fn ordinary_numbers_take_the_quick_way() {
        for text in [
            "0",
            "-0",
            "1",
            "-1.5",
            "0.1",
            "-0.123456789",
            "1234567.12345678",
            ".5",
            "5.",
            "1e10",
            "1.5e-7",
            "-2.25E+3",
            "0.000000",
            "16777217",
            "0.30000000000000004",
        ] {
            check(text, text.len() < 8 || text.contains('.'));
        }
    }

    #[test]
    fn odd_numbers_are_left_alone() {
        for text in
            ["", "-", ".", "x", "nan", "inf", "+1", "--1", "1e", "1e400", "1.5e39", "123456789012"]
        {
            assert_eq!(f32_at(format!("{text} 12345678").as_bytes(), 0), None, "{text}");
        }
        assert_eq!(f32_at(b"1.5 ", 0), None, "too near to the end");
    }

    #[test]
    fn middles_between_two_numbers_are_left_alone() {
        // 1 + 2^-24 and its neighbours, which round down, to even and up.
        for text in ["1.0000000596046447", "1.000000059604644775", "1.0000000596046449"] {
            check(text, false);
        }
    }

    #[test]
    fn whole_numbers() {
        let read = |text: &str| u32_at(format!("{text}/2345678 1234567").as_bytes(), 0);
        assert_eq!(read("0"), Some((0, 1)));
        assert_eq!(read("1234567"), Some((1_234_567, 7)));
        assert_eq!(read("12345678"), Some((12_345_678, 8)));
        assert_eq!(read("4294967295"), Some((u32::MAX, 10)));
        assert_eq!(read("4294967296"), None);
        assert_eq!(read("1234567890123456789"), None);
        assert_eq!(read("-1"), None);
        assert_eq!(read(""), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_ways_agree(value in any::<f64>(), small in -1e4..1e4_f64, places in 0_usize..17) {
            check(&format!("{small:.places$}"), false);
            check(&format!("{}", small as f32), false);
            check(&format!("{:.places$e}", value as f32 as f64), false);
            check(&format!("{value:e}"), false);
        }

        #[test]
        fn middles_agree(bits in 0x3000_0000_u32..0x5000_0000, off in -3_i64..4, places in 0_usize..18) {
            let (low, high) = (f32::from_bits(bits), f32::from_bits(bits + 1));
            let middle = 0.5 * (f64::from(low) + f64::from(high));
            let near = f64::from_bits((middle.to_bits() as i64 + off) as u64);
            check(&format!("{near:.places$}"), false);
            check(&format!("{near}"), false);
        }
    }
}
