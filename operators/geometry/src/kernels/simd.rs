//! Wide instructions: runs a kernel compiled for the vectors that the machine at hand has.
//!
//! Builds target the oldest x86-64, so code for wider vectors must be chosen while running. A kernel
//! is a [`Kernel`] whose `run` and all it calls are `#[inline(always)]`: the compiler then makes three
//! copies of it, for AVX-512, for AVX2 and for any machine. All copies do the same additions and
//! multiplications in the same order (nothing is contracted to a fused one), so their results are
//! equal bit for bit.

use bytemuck::cast;
use wide::{f32x4, i32x4};

/// Work that pays to be compiled for wide vectors.
pub(crate) trait Kernel {
    /// What it gives.
    type Output;

    /// Does it; `#[inline(always)]` in every implementation, or the wide copy is an empty shell.
    fn run(self) -> Self::Output;
}

/// Runs `kernel` with the widest vectors that the machine has.
#[cfg(target_arch = "x86_64")]
pub(crate) fn run_widest<K: Kernel>(kernel: K) -> K::Output {
    Vectors::of_this_machine().run(kernel)
}

/// Runs `kernel`.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn run_widest<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// Vectors that this machine was seen to have: there is no other way to come by one.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
enum Vectors {
    Avx512,
    Avx2,
    Plain,
}

#[cfg(target_arch = "x86_64")]
impl Vectors {
    fn of_this_machine() -> Self {
        use std::arch::is_x86_feature_detected as has;
        let has_avx2 = has!("avx2") && has!("bmi1") && has!("bmi2") && has!("lzcnt");
        if !has_avx2 || !has!("popcnt") {
            return Self::Plain;
        }
        let has_avx512 = has!("avx512f") && has!("avx512vl") && has!("avx512dq");
        if has_avx512 && has!("avx512bw") { Self::Avx512 } else { Self::Avx2 }
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[expect(unsafe_code, reason = "a function for AVX-512 may be called where AVX-512 is")]
            // SAFETY: this machine was seen to have it.
            Self::Avx512 => unsafe { run_avx512(kernel) },
            #[expect(unsafe_code, reason = "a function for AVX2 may be called where AVX2 is")]
            // SAFETY: this machine was seen to have it.
            Self::Avx2 => unsafe { run_avx2(kernel) },
            Self::Plain => kernel.run(),
        }
    }

    fn run_pairs<K: PairKernel>(self, kernel: K) {
        match self {
            #[expect(unsafe_code, reason = "a function for AVX-512 may be called where AVX-512 is")]
            // SAFETY: this machine was seen to have it.
            Self::Avx512 => unsafe { avx2::run_with_avx512(kernel) },
            #[expect(unsafe_code, reason = "a function for AVX2 may be called where AVX2 is")]
            // SAFETY: this machine was seen to have it.
            Self::Avx2 => unsafe { avx2::run(kernel) },
            Self::Plain => kernel.run::<Plain>(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512vl,avx512dq,avx512bw")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// Numbers that are worked on together by a [`PairKernel`]: two groups of four.
pub(crate) const PAIR: usize = 8;

/// Work on pairs of groups of numbers, whose operations are told by name: where values are chosen one by
/// one, the compiler makes no wide instructions of loops.
pub(crate) trait PairKernel {
    /// Does it; `#[inline(always)]` in every implementation and in all it calls.
    fn run<P: Pair>(self);
}

/// Operations on [`PAIR`] numbers. All implementations give the same bits.
pub(crate) trait Pair {
    /// In single precision.
    type Reals: Copy;
    /// Of 32 bits; sums wrap.
    type Wholes: Copy;

    fn all(values: [f32; PAIR]) -> Self::Reals;
    fn reals(value: f32) -> Self::Reals;
    /// Four times `first`, four times `second`.
    fn halves(first: f32, second: f32) -> Self::Reals;
    fn add_reals(a: Self::Reals, b: Self::Reals) -> Self::Reals;
    fn times(a: Self::Reals, factor: f32) -> Self::Reals;
    /// The higher of each two; `b` if one is a NaN or they are equal.
    fn higher(a: Self::Reals, b: Self::Reals) -> Self::Reals;
    /// The lower of each two; `b` if one is a NaN or they are equal.
    fn lower(a: Self::Reals, b: Self::Reals) -> Self::Reals;
    fn wholes(value: i32) -> Self::Wholes;
    /// 0, `step`, twice `step` and so on.
    fn steps(step: i32) -> Self::Wholes;
    /// The first half twice, the second time plus `down`.
    fn stacked(a: Self::Wholes, down: i32) -> Self::Wholes;
    fn add_wholes(a: Self::Wholes, b: Self::Wholes) -> Self::Wholes;
    fn or(a: Self::Wholes, b: Self::Wholes) -> Self::Wholes;

    /// Where `outside` is not negative: puts `here` into `nears` if it is above what is there, and `name`
    /// into `names` if it is or is as high and `name` below what is there. No number is a NaN or 0.
    fn put_nearest(
        nears: &mut [f32; PAIR],
        names: &mut [i32; PAIR],
        outside: Self::Wholes,
        here: Self::Reals,
        name: Self::Wholes,
    );

    /// The same for two groups that lie apart.
    fn put_nearest_apart(
        nears: [&mut [f32; PAIR / 2]; 2],
        names: [&mut [i32; PAIR / 2]; 2],
        outside: Self::Wholes,
        here: Self::Reals,
        name: Self::Wholes,
    );
}

/// Pairs for any machine.
pub(crate) struct Plain;

impl Pair for Plain {
    type Reals = [f32x4; 2];
    type Wholes = [i32x4; 2];

    #[inline(always)]
    fn all([a, b, c, d, e, f, g, h]: [f32; PAIR]) -> [f32x4; 2] {
        [f32x4::new([a, b, c, d]), f32x4::new([e, f, g, h])]
    }

    #[inline(always)]
    fn reals(value: f32) -> [f32x4; 2] {
        [f32x4::splat(value); 2]
    }

    #[inline(always)]
    fn halves(first: f32, second: f32) -> [f32x4; 2] {
        [f32x4::splat(first), f32x4::splat(second)]
    }

    #[inline(always)]
    fn add_reals(a: [f32x4; 2], b: [f32x4; 2]) -> [f32x4; 2] {
        [a[0] + b[0], a[1] + b[1]]
    }

    #[inline(always)]
    fn times(a: [f32x4; 2], factor: f32) -> [f32x4; 2] {
        a.map(|a| a * f32x4::splat(factor))
    }

    #[inline(always)]
    fn higher(a: [f32x4; 2], b: [f32x4; 2]) -> [f32x4; 2] {
        [0, 1].map(|i| a[i].simd_gt(b[i]).select(a[i], b[i]))
    }

    #[inline(always)]
    fn lower(a: [f32x4; 2], b: [f32x4; 2]) -> [f32x4; 2] {
        [0, 1].map(|i| a[i].simd_lt(b[i]).select(a[i], b[i]))
    }

    #[inline(always)]
    fn wholes(value: i32) -> [i32x4; 2] {
        [i32x4::splat(value); 2]
    }

    #[inline(always)]
    fn steps(step: i32) -> [i32x4; 2] {
        let of = |i: i32| step.wrapping_mul(i);
        [i32x4::new([0, of(1), of(2), of(3)]), i32x4::new([of(4), of(5), of(6), of(7)])]
    }

    #[inline(always)]
    fn stacked(a: [i32x4; 2], down: i32) -> [i32x4; 2] {
        [a[0], a[0] + i32x4::splat(down)]
    }

    #[inline(always)]
    fn add_wholes(a: [i32x4; 2], b: [i32x4; 2]) -> [i32x4; 2] {
        [a[0] + b[0], a[1] + b[1]]
    }

    #[inline(always)]
    fn or(a: [i32x4; 2], b: [i32x4; 2]) -> [i32x4; 2] {
        [a[0] | b[0], a[1] | b[1]]
    }

    #[inline(always)]
    fn put_nearest(
        nears: &mut [f32; PAIR],
        names: &mut [i32; PAIR],
        outside: [i32x4; 2],
        here: [f32x4; 2],
        name: [i32x4; 2],
    ) {
        let ([first, second], []) = nears.as_chunks_mut() else { return };
        let ([first_names, second_names], []) = names.as_chunks_mut() else { return };
        Self::put_nearest_apart([first, second], [first_names, second_names], outside, here, name);
    }

    #[inline(always)]
    fn put_nearest_apart(
        nears: [&mut [f32; 4]; 2],
        names: [&mut [i32; 4]; 2],
        outside: [i32x4; 2],
        here: [f32x4; 2],
        name: [i32x4; 2],
    ) {
        for (i, (nears, names)) in nears.into_iter().zip(names).enumerate() {
            let (near, known) = (f32x4::new(*nears), i32x4::new(*names));
            // Outside it is a NaN, which is above nothing.
            let is_outside: i32x4 = outside[i] >> 31;
            let here: f32x4 = cast(cast::<f32x4, i32x4>(here[i]) | is_outside);
            let is_nearer: i32x4 = cast(here.simd_gt(near));
            let is_as_near: i32x4 = cast(here.simd_eq(near));
            let wins = is_nearer | (is_as_near & name[i].simd_lt(known));
            *nears = here.simd_gt(near).select(here, near).to_array();
            *names = wins.select(name[i], known).to_array();
        }
    }
}

/// Runs `kernel` with the registers of AVX2 where the machine has them, and plainly where it has not.
#[cfg(target_arch = "x86_64")]
pub(crate) fn run_widest_pairs<K: PairKernel>(kernel: K) {
    Vectors::of_this_machine().run_pairs(kernel);
}

/// Runs `kernel`.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn run_widest_pairs<K: PairKernel>(kernel: K) {
    kernel.run::<Plain>();
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    #![expect(
        unsafe_code,
        reason = "functions for AVX2 are called from functions that are inlined into one for AVX2"
    )]

    use std::arch::x86_64::{
        __m256, __m256i, _CMP_EQ_OQ, _CMP_GT_OQ, _mm256_add_epi32, _mm256_add_ps, _mm256_and_ps,
        _mm256_blendv_epi8, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cmp_ps,
        _mm256_cmpgt_epi32, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_loadu2_m128,
        _mm256_loadu2_m128i, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_mullo_epi32,
        _mm256_or_ps, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set1_epi32,
        _mm256_set1_ps, _mm256_setr_epi32, _mm256_setr_ps, _mm256_srai_epi32, _mm256_storeu_ps,
        _mm256_storeu_si256, _mm256_storeu2_m128, _mm256_storeu2_m128i,
    };

    use super::{PAIR, Pair, PairKernel};

    /// Pairs in registers of AVX2. Nobody outside can name it, so that whoever has it was run from here.
    struct Registers;

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn run<K: PairKernel>(kernel: K) {
        kernel.run::<Registers>();
    }

    /// [`run`], and the compiler may use AVX-512 in the kernel.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512vl,avx512dq,avx512bw")]
    pub(super) fn run_with_avx512<K: PairKernel>(kernel: K) {
        kernel.run::<Registers>();
    }

    // SAFETY of all calls: only `run` and `run_with_avx512`, which run where AVX2 is, tell a kernel of
    // `Registers`.
    impl Pair for Registers {
        type Reals = __m256;
        type Wholes = __m256i;

        #[inline(always)]
        fn all([a, b, c, d, e, f, g, h]: [f32; PAIR]) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_setr_ps(a, b, c, d, e, f, g, h) }
        }

        #[inline(always)]
        fn reals(value: f32) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_set1_ps(value) }
        }

        #[inline(always)]
        fn halves(a: f32, b: f32) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_setr_ps(a, a, a, a, b, b, b, b) }
        }

        #[inline(always)]
        fn add_reals(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_add_ps(a, b) }
        }

        #[inline(always)]
        fn times(a: __m256, factor: f32) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_mul_ps(a, _mm256_set1_ps(factor)) }
        }

        #[inline(always)]
        fn higher(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_max_ps(a, b) }
        }

        #[inline(always)]
        fn lower(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_min_ps(a, b) }
        }

        #[inline(always)]
        fn wholes(value: i32) -> __m256i {
            // SAFETY: see above.
            unsafe { _mm256_set1_epi32(value) }
        }

        #[inline(always)]
        fn steps(step: i32) -> __m256i {
            // SAFETY: see above.
            unsafe {
                let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                _mm256_mullo_epi32(lanes, _mm256_set1_epi32(step))
            }
        }

        #[inline(always)]
        fn stacked(a: __m256i, down: i32) -> __m256i {
            // SAFETY: see above.
            unsafe {
                let down = _mm256_setr_epi32(0, 0, 0, 0, down, down, down, down);
                _mm256_add_epi32(_mm256_permute2x128_si256::<0>(a, a), down)
            }
        }

        #[inline(always)]
        fn add_wholes(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: see above.
            unsafe { _mm256_add_epi32(a, b) }
        }

        #[inline(always)]
        fn or(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: see above.
            unsafe { _mm256_or_si256(a, b) }
        }

        #[inline(always)]
        fn put_nearest(
            nears: &mut [f32; PAIR],
            names: &mut [i32; PAIR],
            outside: __m256i,
            here: __m256,
            name: __m256i,
        ) {
            // SAFETY: see above; and the two pointers are to eight numbers of 32 bits each.
            unsafe {
                let near = _mm256_loadu_ps(nears.as_ptr());
                let known = _mm256_loadu_si256(names.as_ptr().cast());
                let (near, chosen) = nearest(near, known, outside, here, name);
                _mm256_storeu_ps(nears.as_mut_ptr(), near);
                _mm256_storeu_si256(names.as_mut_ptr().cast(), chosen);
            }
        }

        #[inline(always)]
        fn put_nearest_apart(
            [nears, more_nears]: [&mut [f32; PAIR / 2]; 2],
            [names, more_names]: [&mut [i32; PAIR / 2]; 2],
            outside: __m256i,
            here: __m256,
            name: __m256i,
        ) {
            // SAFETY: see above; and the four pointers are to four numbers of 32 bits each.
            unsafe {
                let near = _mm256_loadu2_m128(more_nears.as_ptr(), nears.as_ptr());
                let known = _mm256_loadu2_m128i(more_names.as_ptr().cast(), names.as_ptr().cast());
                let (near, chosen) = nearest(near, known, outside, here, name);
                _mm256_storeu2_m128(more_nears.as_mut_ptr(), nears.as_mut_ptr(), near);
                let (more_names, names) = (more_names.as_mut_ptr(), names.as_mut_ptr());
                _mm256_storeu2_m128i(more_names.cast(), names.cast(), chosen);
            }
        }
    }

    /// What is near, and its names, where `here` and `name` come to `near` and `known`.
    #[inline(always)]
    fn nearest(
        near: __m256,
        known: __m256i,
        outside: __m256i,
        here: __m256,
        name: __m256i,
    ) -> (__m256, __m256i) {
        // SAFETY: see above.
        unsafe {
            // Outside it is a NaN, which is above nothing.
            let is_outside = _mm256_castsi256_ps(_mm256_srai_epi32::<31>(outside));
            let here = _mm256_or_ps(here, is_outside);
            let is_nearer = _mm256_cmp_ps::<_CMP_GT_OQ>(here, near);
            let is_as_near = _mm256_cmp_ps::<_CMP_EQ_OQ>(here, near);
            let is_first = _mm256_castsi256_ps(_mm256_cmpgt_epi32(known, name));
            let wins = _mm256_or_ps(is_nearer, _mm256_and_ps(is_as_near, is_first));
            let wins = _mm256_castps_si256(wins);
            // Not chosen by `wins`: of that compilers make a store of some lanes, for which the
            // next load of these numbers has to wait.
            (_mm256_max_ps(here, near), _mm256_blendv_epi8(known, name, wins))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    impl Vectors {
        fn all_of_this_machine() -> &'static [Self] {
            match Self::of_this_machine() {
                Self::Avx512 => &[Self::Plain, Self::Avx2, Self::Avx512],
                Self::Avx2 => &[Self::Plain, Self::Avx2],
                Self::Plain => &[Self::Plain],
            }
        }
    }

    struct Sums<'a>(&'a [f64]);

    impl Kernel for Sums<'_> {
        type Output = Vec<f64>;

        #[inline(always)]
        fn run(self) -> Vec<f64> {
            self.0.iter().map(|x| (x * 1.1 + 0.3).floor() - x * x).collect()
        }
    }

    #[test]
    fn all_copies_give_the_same_bits() {
        let mut random = voxflow_contract::Random::new(1, &["simd"]);
        let numbers: Vec<f64> = (0..999).map(|_| random.range(-1e3, 1e3)).collect();
        assert_eq!(run_widest(Sums(&numbers)), Sums(&numbers).run());
        #[cfg(target_arch = "x86_64")]
        for vectors in Vectors::all_of_this_machine() {
            assert_eq!(vectors.run(Sums(&numbers)), Sums(&numbers).run(), "{vectors:?}");
        }
    }

    /// What every operation gives, one after the other, bit by bit.
    struct Operations<'a> {
        reals: &'a [[f32; PAIR]],
        wholes: &'a [i32],
        bits: &'a mut Vec<u32>,
    }

    impl PairKernel for Operations<'_> {
        #[inline(always)]
        fn run<P: Pair>(self) {
            let (mut nears, mut names) = ([0.0; PAIR], [3; PAIR]);
            let (mut apart, mut apart_names) = ([0.0; 3 * PAIR / 2], [3; 3 * PAIR / 2]);
            for (i, (reals, whole)) in self.reals.windows(2).zip(self.wholes).enumerate() {
                let ([a, b], [x, y]) =
                    ([P::all(reals[0]), P::all(reals[1])], [reals[0][0], *whole as f32]);
                let sum = P::add_reals(P::times(a, y), P::halves(x, y));
                let here = P::higher(P::lower(P::add_reals(sum, b), P::reals(x)), b);
                let outside =
                    P::or(P::steps(*whole), P::add_wholes(P::steps(3), P::wholes(*whole)));
                let name = P::wholes(whole % 5);
                for here in [here, a, P::higher(a, b), P::lower(a, b), P::reals(1.0)] {
                    P::put_nearest(&mut nears, &mut names, outside, here, name);
                    let ([first, _, second], []) = apart.as_chunks_mut() else { return };
                    let ([first_name, _, second_name], []) = apart_names.as_chunks_mut() else {
                        return;
                    };
                    P::put_nearest_apart(
                        [first, second],
                        [first_name, second_name],
                        P::stacked(outside, *whole),
                        here,
                        name,
                    );
                    self.bits.extend(apart.map(f32::to_bits));
                    self.bits.extend(apart_names.map(|x| x as u32));
                    self.bits
                        .extend(nears.map(f32::to_bits).into_iter().chain(names.map(|x| x as u32)));
                }
                if i % 7 == 0 {
                    (nears, names) = ([f32::NEG_INFINITY; PAIR], [0; PAIR]);
                    (apart, apart_names) = ([f32::NEG_INFINITY; 12], [0; 12]);
                }
            }
        }
    }

    #[test]
    fn all_kinds_of_pairs_give_the_same_bits() {
        let mut random = voxflow_contract::Random::new(2, &["pairs"]);
        let odd = [0.0, -0.0, 1.0, 1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40];
        let mut real = || match random.below(3) {
            0 => odd[random.below(8) as usize],
            _ => random.range(-2.0, 2.0) as f32,
        };
        let reals: Vec<[f32; PAIR]> = (0..500).map(|_| [0; PAIR].map(|_: i32| real())).collect();
        let wholes: Vec<i32> = (0..500).map(|_| random.range(-1e9, 1e9) as i32).collect();
        let bits_by = |run: &dyn Fn(Operations<'_>)| {
            let mut bits = Vec::new();
            run(Operations { reals: &reals, wholes: &wholes, bits: &mut bits });
            bits
        };
        let plain = bits_by(&|operations| operations.run::<Plain>());
        assert_eq!(plain.len(), 499 * 5 * (2 * PAIR + 3 * PAIR));
        assert_eq!(bits_by(&|operations| run_widest_pairs(operations)), plain);
        #[cfg(target_arch = "x86_64")]
        for vectors in Vectors::all_of_this_machine() {
            let bits = bits_by(&|operations| vectors.run_pairs(operations));
            assert_eq!(bits, plain, "{vectors:?}");
        }
    }
}
