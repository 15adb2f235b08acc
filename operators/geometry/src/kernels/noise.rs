//! Noise: random colours that change smoothly in space, for backgrounds and surfaces of training data.

use voxflow_contract::Random;

/// Layers of noise, each twice as fine and half as strong as the one before.
const OCTAVES: u32 = 3;

/// A colour at every point of space (value noise in three layers: a random colour at each corner of a
/// cubic grid, interpolated by 3t^2 - 2t^3). The same on every machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    seed: u64,
    /// Cells of the coarsest grid along a unit of length.
    cells: f32,
    /// Linear colours where the noise is lowest and highest.
    ends: [[f32; 3]; 2],
}

impl Noise {
    /// Noise of a random colour range and grain: 2 to 8 cells along a unit of length.
    pub fn new(random: &mut Random) -> Self {
        let seed = random.bits();
        let cells = random.range(2.0, 8.0) as f32;
        let mut color = || [0; 3].map(|_: i32| random.unit() as f32);
        Self { seed, cells, ends: [color(), color()] }
    }

    /// The linear colour at a point.
    pub(crate) fn color(&self, point: [f32; 3]) -> [f32; 3] {
        let (mut sum, mut weight) = ([0.0; 3], 0.0);
        for octave in 0..OCTAVES {
            let scale = self.cells * (1 << octave) as f32;
            let share = 1.0 / (1 << octave) as f32;
            let layer =
                lattice(self.seed.wrapping_add(u64::from(octave)), point.map(|x| x * scale));
            (0..3).for_each(|i| sum[i] += share * layer[i]);
            weight += share;
        }
        let [low, high] = self.ends;
        [0, 1, 2].map(|i| low[i] + (high[i] - low[i]) * sum[i] / weight)
    }
}

/// Three numbers from 0 to 1, interpolated between the corners of the cell that `point` lies in.
fn lattice(seed: u64, point: [f32; 3]) -> [f32; 3] {
    let cell = point.map(|x| x.floor());
    let share = [0, 1, 2].map(|i| {
        let t = (point[i] - cell[i]).clamp(0.0, 1.0);
        t * t * (3.0 - 2.0 * t)
    });
    let mut sum = [0.0; 3];
    for corner in 0..8u32 {
        let is_far = [0, 1, 2].map(|i| corner >> i & 1);
        let at = [0, 1, 2].map(|i| (cell[i] as i32).wrapping_add(is_far[i] as i32));
        let weight: f32 =
            (0..3).map(|i| if is_far[i] == 1 { share[i] } else { 1.0 - share[i] }).product();
        let bits = hash(seed, at);
        (0..3).for_each(|i| sum[i] += weight * (bits >> (16 * i) & 0xffff) as f32 / 65535.0);
    }
    sum
}

/// The last rounds of SplitMix64 (Steele, Lea and Flood 2014) on the numbers of a corner.
fn hash(seed: u64, at: [i32; 3]) -> u64 {
    let mut bits = seed;
    for number in at {
        bits = (bits ^ u64::from(number as u32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_smooth_in_range_and_differs_by_seed() {
        let noise = Noise::new(&mut Random::new(1, &["noise"]));
        let other = Noise::new(&mut Random::new(2, &["noise"]));
        let mut spread = 0.0f32;
        for i in 0..500 {
            let at = |offset: f32| [i as f32 * 0.013 + offset, -0.3, i as f32 * 0.004];
            let (here, near) = (noise.color(at(0.0)), noise.color(at(1e-4)));
            assert!(here.iter().all(|c| (0.0..=1.0).contains(c)));
            assert!((0..3).all(|c| (here[c] - near[c]).abs() < 0.02));
            spread = spread.max((here[0] - noise.color(at(0.5))[0]).abs());
        }
        assert!(spread > 0.02, "{spread}");
        assert_ne!(noise.color([0.3; 3]), other.color([0.3; 3]));
        assert!(noise.color([f32::NAN, f32::INFINITY, 0.0]).iter().all(|c| !c.is_infinite()));
    }
}
