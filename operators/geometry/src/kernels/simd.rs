//! Wide instructions: runs a kernel compiled for the vectors that the machine at hand has.
//!
//! Builds target the oldest x86-64, so code for wider vectors must be chosen while running. A kernel
//! is a [`Kernel`] whose `run` and all it calls are `#[inline(always)]`: the compiler then makes two
//! copies of it, one for any machine and one for AVX2. Both copies do the same additions and
//! multiplications in the same order (nothing is contracted to a fused one), so their results are
//! equal bit for bit.

/// Work that pays to be compiled for wide vectors.
pub(crate) trait Kernel {
    /// What it gives.
    type Output;

    /// Does it; `#[inline(always)]` in every implementation, or the wide copy is an empty shell.
    fn run(self) -> Self::Output;
}

/// Runs `kernel` with AVX2 where the machine has it, and without where it has not.
#[cfg(target_arch = "x86_64")]
pub(crate) fn run_widest<K: Kernel>(kernel: K) -> K::Output {
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("bmi2") {
        #[expect(unsafe_code, reason = "a function for AVX2 may be called where AVX2 is")]
        // SAFETY: the line above has just seen that this machine has both.
        return unsafe { run_avx2(kernel) };
    }
    kernel.run()
}

/// Runs `kernel`.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn run_widest<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sums<'a>(&'a [f64]);

    impl Kernel for Sums<'_> {
        type Output = Vec<f64>;

        #[inline(always)]
        fn run(self) -> Vec<f64> {
            self.0.iter().map(|x| (x * 1.1 + 0.3).floor() - x * x).collect()
        }
    }

    #[test]
    fn both_copies_give_the_same_bits() {
        let mut random = voxflow_contract::Random::new(1, &["simd"]);
        let numbers: Vec<f64> = (0..999).map(|_| random.range(-1e3, 1e3)).collect();
        assert_eq!(run_widest(Sums(&numbers)), Sums(&numbers).run());
    }
}
