//! Polygons into triangles: a fan around the first corner.

/// A polygon whose corners are still coming.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Fan {
    first: u32,
    previous: u32,
    corners: u64,
}

impl Fan {
    /// Takes the next corner; from the third on, each adds a triangle.
    pub(crate) fn corner(&mut self, vertex: u32, triangles: &mut Vec<[u32; 3]>) {
        match self.corners {
            0 => self.first = vertex,
            1 => {}
            _ => triangles.push([self.first, self.previous, vertex]),
        }
        self.previous = vertex;
        self.corners += 1;
    }

    /// Corners so far.
    pub(crate) fn corners(&self) -> u64 {
        self.corners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n_corners_make_n_minus_two_triangles() {
        let (mut fan, mut triangles) = (Fan::default(), Vec::new());
        for vertex in [5, 6, 7, 8] {
            fan.corner(vertex, &mut triangles);
        }
        assert_eq!(fan.corners(), 4);
        assert_eq!(triangles, [[5, 6, 7], [5, 7, 8]]);
    }
}
