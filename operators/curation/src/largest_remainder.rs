//! `largest_remainder`: whole numbers in given ratios that add up exactly.

/// Ratios are rounded to this many parts of one, so that ties are ties and not rounding noise.
const PARTS_OF_ONE: f64 = 1e12;

/// Cuts `total` into three whole numbers in the given ratios that add up to `total` (method of
/// Hamilton).
///
/// Each share is its exact quota rounded down; what is left goes, one each, to the shares with the
/// largest remainders, and among equal remainders to the earlier one. No share is ever one or more
/// away from its quota, and a ratio of zero gets nothing.
///
/// Ratios need not add up to 1: only their proportions count. Ratios that are negative or not a
/// number count as zero; when all are zero, everything goes to the first share.
///
/// ```
/// assert_eq!(voxflow_curation::largest_remainder(15, [0.7, 0.1, 0.2]), [11, 1, 3]);
/// ```
pub fn largest_remainder(total: u64, ratios: [f64; 3]) -> [u64; 3] {
    let parts = ratios.map(|ratio| (ratio.clamp(0.0, 1e6) * PARTS_OF_ONE).round() as u128);
    apportion(total, parts)
}

/// As [`largest_remainder`], with ratios that are whole numbers, each below 2^63.
pub(crate) fn apportion(total: u64, parts: [u128; 3]) -> [u64; 3] {
    let whole: u128 = parts.iter().sum();
    if whole == 0 {
        return [total, 0, 0];
    }
    let product = |share: usize| u128::from(total) * parts[share];
    let mut shares: [u64; 3] = std::array::from_fn(|share| (product(share) / whole) as u64);
    let mut order = [0, 1, 2];
    order.sort_by_key(|share| std::cmp::Reverse(product(*share) % whole));
    let left = total - shares.iter().sum::<u64>();
    for share in order.into_iter().take(left as usize) {
        shares[share] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out whole units while a share's quota has one, then the rest one by one to the share
    /// with the largest remainder. Slow, and obvious.
    fn one_by_one(total: u64, parts: [u128; 3]) -> [u64; 3] {
        let sum: u128 = parts.iter().sum();
        let mut shares = [0; 3];
        let mut remainders = parts.map(|part| u128::from(total) * part);
        for share in 0..3 {
            while remainders[share] >= sum {
                remainders[share] -= sum;
                shares[share] += 1;
            }
        }
        while shares.iter().sum::<u64>() < total {
            let mut largest = 0;
            for share in 1..3 {
                if remainders[share] > remainders[largest] {
                    largest = share;
                }
            }
            shares[largest] += 1;
            remainders[largest] = 0;
        }
        shares
    }

    #[test]
    fn shares_are_exact_for_known_totals() {
        let usual = [0.7, 0.1, 0.2];
        let table = [
            (0, [0, 0, 0]),
            (1, [1, 0, 0]),
            (2, [2, 0, 0]),
            (3, [2, 0, 1]),
            (4, [3, 0, 1]),
            (5, [4, 0, 1]),
            (7, [5, 1, 1]),
            (10, [7, 1, 2]),
            (15, [11, 1, 3]),
            (45, [32, 4, 9]),
            (100, [70, 10, 20]),
            (12_311, [8618, 1231, 2462]),
        ];
        for (total, shares) in table {
            assert_eq!(largest_remainder(total, usual), shares, "{total}");
        }
    }

    #[test]
    fn equal_remainders_go_to_the_earlier_share() {
        assert_eq!(largest_remainder(1, [0.5, 0.5, 0.0]), [1, 0, 0]);
        assert_eq!(largest_remainder(2, [1.0 / 3.0; 3]), [1, 1, 0]);
        // 0.7 * 45 is 31.499999999999996 in floating point and 0.1 * 45 is 4.5.
        assert_eq!(largest_remainder(45, [0.1, 0.7, 0.2]), [5, 31, 9]);
    }

    #[test]
    fn odd_ratios_are_documented() {
        assert_eq!(largest_remainder(9, [0.0; 3]), [9, 0, 0]);
        assert_eq!(largest_remainder(9, [-1.0, f64::NAN, 2.0]), [0, 0, 9]);
        assert_eq!(largest_remainder(u64::MAX, [0.0, 1.0, 0.0]), [0, u64::MAX, 0]);
        assert_eq!(largest_remainder(4, [f64::INFINITY, 0.0, 0.0]), [4, 0, 0]);
    }

    proptest! {
        #[test]
        fn shares_add_up_and_stay_within_one_of_their_quota(
            total in 0u64..1_000_000,
            ratios in prop::array::uniform3(0.0f64..1.0),
        ) {
            let sum: f64 = ratios.iter().sum();
            prop_assume!(sum > 0.01);
            let shares = largest_remainder(total, ratios);
            prop_assert_eq!(shares.iter().sum::<u64>(), total);
            for (share, ratio) in shares.into_iter().zip(ratios) {
                let quota = total as f64 * ratio / sum;
                prop_assert!((share as f64 - quota).abs() < 1.0 + 1e-3, "{shares:?} {quota}");
            }
        }

        #[test]
        fn equals_dealing_one_by_one(total in 0u64..500, parts in prop::array::uniform3(0u32..1000)) {
            prop_assume!(parts.iter().any(|&part| part > 0));
            let ratios = parts.map(|part| f64::from(part) / 1000.0);
            prop_assert_eq!(largest_remainder(total, ratios), one_by_one(total, parts.map(u128::from)));
        }
    }
}
