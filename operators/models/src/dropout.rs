//! Dropout whose random choices come from a seed and a place, so that they can be made again.
//!
//! burn's own dropout draws from the device's generator, which differs from device to device and
//! cannot be asked for the same numbers twice; attention in blocks needs them again on the way back.

use burn::tensor::{Tensor, TensorData};

/// What stays and what goes: `rate` of all numbers become 0, the others grow by `1 / (1 - rate)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dropout {
    /// Share of numbers that go, from 0 to less than 1.
    pub(crate) rate: f64,
    /// Where the choices come from.
    pub(crate) seed: u64,
}

impl Dropout {
    /// Dropout with a seed of its own, for the `n`-th place in a network.
    pub(crate) fn at(self, n: u64) -> Self {
        Self { seed: mixed(self.seed ^ mixed(n)), ..self }
    }

    /// The factors of `count` numbers of a row: 0, or `1 / (1 - rate)`. Four of them come from one
    /// draw, each of 16 bits.
    pub(crate) fn extend(self, factors: &mut Vec<f32>, row: u64, count: usize) {
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        let limit = (self.rate * 65_536.0) as u64;
        let start = mixed(self.seed ^ mixed(row));
        for group in 0..count.div_ceil(4) {
            let draw = mixed(start.wrapping_add(group as u64));
            let members = (count - 4 * group).min(4);
            factors.extend((0..members).map(|member| {
                let goes = (draw >> (16 * member)) & 0xFFFF < limit;
                if goes { 0.0 } else { kept }
            }));
        }
    }

    /// `tensor` with some of its numbers gone.
    pub(crate) fn apply<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        let sizes = tensor.dims();
        let row = sizes[D - 1];
        let rows = sizes[..D - 1].iter().product::<usize>();
        let mut factors = Vec::with_capacity(row * rows);
        (0..rows).for_each(|i| self.extend(&mut factors, i as u64, row));
        let device = tensor.device();
        tensor * Tensor::from_data(TensorData::new(factors, sizes), &device)
    }
}

/// A number without resemblance to `x` (the finaliser of splitmix64).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_share_that_goes_is_the_rate_and_the_mean_stays() {
        let dropout = Dropout { rate: 0.1, seed: 7 };
        let ones = Tensor::<2>::ones([100, 1001], &Device::flex());
        let dropped = dropout.apply(ones.clone()).into_data().try_into_vec::<f32>();
        let dropped = dropped.expect("floats");
        let gone = dropped.iter().filter(|&&x| x == 0.0).count() as f64 / dropped.len() as f64;
        let mean = dropped.iter().map(|&x| f64::from(x)).sum::<f64>() / dropped.len() as f64;
        assert!((gone - 0.1).abs() < 5e-3 && (mean - 1.0).abs() < 5e-3, "{gone} {mean}");
        assert_eq!(
            dropped,
            dropout.apply(ones.clone()).into_data().try_into_vec::<f32>().expect("floats")
        );
        let other = dropout.at(1).apply(ones).into_data().try_into_vec::<f32>().expect("floats");
        assert_ne!(dropped, other);
    }
}
