//! Raster: triangles onto a grid of samples, nearest first, each sample in exactly one of the
//! triangles that share an edge.

/// Steps of the fixed-point grid in a sample's width.
const STEPS: i64 = 256;
/// Largest fixed-point coordinate; edge functions of such points fit an i64 with room.
const LIMIT: f64 = (1i64 << 29) as f64;

/// A corner in the picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Projected {
    x: i64,
    y: i64,
    /// One over the depth; affine in the picture.
    pub(crate) inverse_depth: f64,
}

impl Projected {
    /// A corner at (`x`, `y`), in samples from the corner of the picture.
    pub(crate) fn new(x: f64, y: f64, depth: f64) -> Self {
        let fixed = |value: f64| (value * STEPS as f64).round().clamp(-LIMIT, LIMIT) as i64;
        Self { x: fixed(x), y: fixed(y), inverse_depth: 1.0 / depth }
    }
}

/// The samples of a picture: inverse depth (0 where nothing is) and linear brightness.
pub(crate) struct Raster {
    width: usize,
    height: usize,
    /// Row by row, of all samples.
    pub(crate) samples: Vec<Sample>,
}

/// One sample of a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sample {
    /// One over the depth; 0 where nothing is.
    pub(crate) inverse_depth: f32,
    /// Linear, 0 to 1.
    pub(crate) brightness: f32,
}

/// One edge as a function that is positive inside: its value at a sample, and what it changes by from
/// one sample to the next.
#[derive(Clone, Copy)]
struct Edge {
    value: i64,
    step_x: i64,
    step_y: i64,
    /// 0 if samples on the edge are the triangle's (top and left edges), 1 if they are not.
    bias: i64,
}

impl Edge {
    /// The edge from `a` to `b`, at the sample whose centre is (`x`, `y`); `sign` is that of the
    /// triangle's area.
    fn new(a: &Projected, b: &Projected, sign: i64, x: i64, y: i64) -> Self {
        let (dx, dy) = (sign * (b.x - a.x), sign * (b.y - a.y));
        let owns_its_samples = dy < 0 || (dy == 0 && dx > 0);
        Self {
            value: dx * (y - a.y) - dy * (x - a.x),
            step_x: -dy * STEPS,
            step_y: dx * STEPS,
            bias: i64::from(!owns_its_samples),
        }
    }
}

/// Samples `first .. end` along an axis whose centres can lie in a triangle.
fn sample_range(values: [i64; 3], size: usize) -> (usize, usize) {
    let low = values[0].min(values[1]).min(values[2]);
    let high = values[0].max(values[1]).max(values[2]);
    let first = (low + STEPS / 2 - 1).div_euclid(STEPS).max(0);
    let end = ((high - STEPS / 2).div_euclid(STEPS) + 1).min(size as i64);
    (first as usize, end.max(first) as usize)
}

impl Raster {
    /// A picture with nothing in it.
    pub(crate) fn empty(width: usize, height: usize) -> Self {
        Self { width, height, samples: vec![Sample::default(); width * height] }
    }

    /// Draws a triangle, whichever way it is turned. `brightness` is asked for each sample in which
    /// the triangle is nearest, with the sample's barycentric weights in space.
    ///
    /// A sample is in the triangle when its centre is; a centre on an edge belongs to the triangle on
    /// the edge's right or lower side (top-left rule), so triangles that share the edge neither leave
    /// it out nor draw it twice. Corners are rounded to 1/256 sample first, all else is exact.
    pub(crate) fn draw(&mut self, corners: [Projected; 3], brightness: impl Fn([f64; 3]) -> f32) {
        let [a, b, c] = &corners;
        let area = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
        let (left, right) = sample_range(corners.map(|p| p.x), self.width);
        let (top, bottom) = sample_range(corners.map(|p| p.y), self.height);
        if area == 0 || left >= right || top >= bottom {
            return;
        }
        let (x, y) = (left as i64 * STEPS + STEPS / 2, top as i64 * STEPS + STEPS / 2);
        let sign = area.signum();
        // Edge i lies opposite corner i: its value is the corner's barycentric weight times the area.
        let mut edges = [(b, c), (c, a), (a, b)].map(|(p, q)| Edge::new(p, q, sign, x, y));
        let inverse = corners.map(|p| p.inverse_depth / area.abs() as f64);
        for row in top..bottom {
            let samples = &mut self.samples[row * self.width..][left..right];
            draw_row(samples, &edges, inverse, &brightness);
            edges.iter_mut().for_each(|edge| edge.value += edge.step_y);
        }
    }
}

fn draw_row(
    samples: &mut [Sample],
    edges: &[Edge; 3],
    inverse: [f64; 3],
    brightness: impl Fn([f64; 3]) -> f32,
) {
    let mut values = edges.map(|edge| edge.value);
    let mut was_inside = false;
    for sample in samples {
        let outside =
            (values[0] - edges[0].bias) | (values[1] - edges[1].bias) | (values[2] - edges[2].bias);
        if outside >= 0 {
            was_inside = true;
            let shares = [0, 1, 2].map(|i| values[i] as f64 * inverse[i]);
            let inverse_depth = shares[0] + shares[1] + shares[2];
            if inverse_depth as f32 > sample.inverse_depth {
                let weights = shares.map(|share| share / inverse_depth);
                *sample =
                    Sample { inverse_depth: inverse_depth as f32, brightness: brightness(weights) };
            }
        } else if was_inside {
            return;
        }
        (0..3).for_each(|i| values[i] += edges[i].step_x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::Random;

    fn draws(triangles: &[[[f64; 2]; 3]], size: usize) -> Vec<u32> {
        let mut counts = vec![0; size * size];
        for triangle in triangles {
            let mut raster = Raster::empty(size, size);
            raster.draw(triangle.map(|[x, y]| Projected::new(x, y, 1.0)), |_| 1.0);
            for (count, sample) in counts.iter_mut().zip(&raster.samples) {
                *count += u32::from(sample.inverse_depth > 0.0);
            }
        }
        counts
    }

    #[test]
    fn triangles_that_share_edges_cover_each_sample_once() {
        for round in 0..50 {
            let mut random = Random::new(round, &["fan"]);
            let size = 24.0;
            // Some centres on sample centres, where every rule about edges is tested.
            let centre = [0; 2].map(|_: i32| random.below(48) as f64 / 2.0);
            let corners = [[0.0, 0.0], [size, 0.0], [size, size], [0.0, size]];
            let fan: Vec<_> = (0..4)
                .map(|i| {
                    let (a, b) = (corners[i], corners[(i + 1) % 4]);
                    if random.chance(0.5) { [centre, a, b] } else { [a, centre, b] }
                })
                .collect();
            assert!(draws(&fan, 24).iter().all(|count| *count == 1), "{centre:?}");
        }
    }

    #[test]
    fn weights_are_those_of_space_and_the_nearest_wins() {
        let mut raster = Raster::empty(9, 9);
        let corners = |depth: [f64; 3]| {
            [
                Projected::new(-20.0, -20.0, depth[0]),
                Projected::new(40.0, -20.0, depth[1]),
                Projected::new(-20.0, 40.0, depth[2]),
            ]
        };
        raster.draw(corners([2.0, 4.0, 8.0]), |weights| {
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            (weights[0] * 2.0 + weights[1] * 4.0 + weights[2] * 8.0) as f32
        });
        for sample in &raster.samples {
            assert!((sample.brightness * sample.inverse_depth - 1.0).abs() < 1e-5);
        }
        let before = raster.samples.clone();
        raster.draw(corners([9.0; 3]), |_| 0.0);
        assert_eq!(raster.samples, before);
        raster.draw(corners([1.0; 3]), |_| 0.5);
        assert!(raster.samples.iter().all(|sample| sample.brightness == 0.5));
    }

    #[test]
    fn corners_far_outside_do_not_overflow() {
        let far = LIMIT / STEPS as f64;
        let triangle = [[-far, -far], [far, -far], [0.0, far * 9.0]];
        assert!(draws(&[triangle], 16).iter().all(|count| *count == 1));
        assert_eq!(draws(&[[[f64::NAN; 2]; 3]], 4), [0; 16]);
    }
}
