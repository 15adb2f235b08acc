//! Chooses vector instructions while running.

use pulp::{Arch, WithSimd};

/// Runs `work` with the widest vectors that the machine has.
///
/// `pulp`'s own choice would need features of it that are not burn's; without them it knows AVX2 but
/// does not choose it.
pub(crate) fn run_widest<W: WithSimd>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return pulp::Simd::vectorize(simd, work);
    }
    Arch::new().dispatch(work)
}
