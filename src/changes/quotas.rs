//! `quotas`: whole numbers in given ratios that add up exactly.

/// Ratios become whole parts of this many, so that equal remainders are equal and no rounding noise
/// decides.
const PARTS_OF_ONE: f64 = 1e12;

/// No ratio counts for more than this, so that products fit 128 bits.
const LARGEST_RATIO: f64 = 1e6;

/// How many of `total` units train, val and test get, by the largest remainder method.
///
/// Every share gets its exact quota rounded down; the units that are left go, one each, to the
/// shares whose quotas lost most by that, the earlier one first where they lost the same.
pub(super) fn quotas(total: u64, ratios: [f64; 3]) -> [u64; 3] {
    let weights =
        ratios.map(|ratio| (ratio.clamp(0.0, LARGEST_RATIO) * PARTS_OF_ONE).round() as u128);
    let sum: u128 = weights.iter().sum();
    if sum == 0 {
        return [total, 0, 0];
    }
    let exact = weights.map(|weight| u128::from(total) * weight);
    let mut shares = exact.map(|product| (product / sum) as u64);
    let mut neediest_first = [0, 1, 2];
    neediest_first.sort_by_key(|&share| std::cmp::Reverse(exact[share] % sum));
    let left = total - shares.iter().sum::<u64>();
    for &share in neediest_first.iter().take(left as usize) {
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
    fn known_totals() {
        let table = [
            (0, [0, 0, 0]),
            (1, [1, 0, 0]),
            (3, [2, 0, 1]),
            (5, [4, 0, 1]),
            (10, [7, 1, 2]),
            (15, [11, 1, 3]),
            (45, [32, 4, 9]),
            (12_311, [8618, 1231, 2462]),
        ];
        for (total, shares) in table {
            assert_eq!(quotas(total, [0.7, 0.1, 0.2]), shares, "{total}");
        }
    }

    #[test]
    fn equal_remainders_go_to_the_earlier_share() {
        assert_eq!(quotas(1, [0.5, 0.5, 0.0]), [1, 0, 0]);
        assert_eq!(quotas(2, [1.0 / 3.0; 3]), [1, 1, 0]);
        assert_eq!(quotas(45, [0.1, 0.7, 0.2]), [5, 31, 9]);
    }

    #[test]
    fn odd_ratios_count_as_documented() {
        assert_eq!(quotas(9, [0.0; 3]), [9, 0, 0]);
        assert_eq!(quotas(9, [-1.0, f64::NAN, 2.0]), [0, 0, 9]);
        assert_eq!(quotas(4, [f64::INFINITY, 0.0, 0.0]), [4, 0, 0]);
        assert_eq!(quotas(u64::MAX, [0.0, 1.0, 0.0]), [0, u64::MAX, 0]);
    }

    proptest! {
        #[test]
        fn equals_dealing_one_by_one(total in 0u64..500, parts in prop::array::uniform3(0u32..1000)) {
            prop_assume!(parts.iter().any(|&part| part > 0));
            let ratios = parts.map(|part| f64::from(part) / 1000.0);
            prop_assert_eq!(quotas(total, ratios), one_by_one(total, parts.map(u128::from)));
        }
    }
}
