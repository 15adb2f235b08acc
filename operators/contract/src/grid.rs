//! `VoxelGrid`: a cubic occupancy grid, bit-packed, that knows where it lies.

/// Which cells a solid fill takes to be inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SolidRule {
    /// Cells whose centre a ray leaves through an odd number of triangles.
    Parity,
    /// Cells whose centre has a generalised winding number of at least one half.
    Winding,
    /// The surface, and all cells that cannot be reached from the border of the grid.
    OutsideFlood,
    /// A vote of parities along the axes, carved by what is seen from six sides.
    Carve,
}

/// How the cells of a grid were decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fill {
    /// Every cell that a triangle touches.
    Surface,
    /// The thinnest surface that no path from face to face gets through.
    SurfaceThin,
    /// The inside.
    Solid(SolidRule),
    /// Every cell that holds a point.
    Points,
    /// Read from a file that does not say.
    Unknown,
}

impl Fill {
    /// All fills, in the order of their declaration.
    pub const ALL: &'static [Self] = &[
        Self::Surface,
        Self::SurfaceThin,
        Self::Solid(SolidRule::Parity),
        Self::Solid(SolidRule::Winding),
        Self::Solid(SolidRule::OutsideFlood),
        Self::Solid(SolidRule::Carve),
        Self::Points,
        Self::Unknown,
    ];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Surface => "surface",
            Self::SurfaceThin => "surface_thin",
            Self::Solid(SolidRule::Parity) => "solid_parity",
            Self::Solid(SolidRule::Winding) => "solid_winding",
            Self::Solid(SolidRule::OutsideFlood) => "solid_outside_flood",
            Self::Solid(SolidRule::Carve) => "solid_carve",
            Self::Points => "points",
            Self::Unknown => "unknown",
        }
    }

    /// The fill of a name in tables; [`Fill::Unknown`] for any other name.
    pub fn from_name(name: &str) -> Self {
        Self::ALL.iter().copied().find(|fill| fill.name() == name).unwrap_or(Self::Unknown)
    }
}

/// A cubic occupancy grid of `resolution`^3 cells.
///
/// Cell (x, y, z) is bit `(x * resolution + y) * resolution + z`, least significant bit of a byte
/// first: numpy's C order with `bitorder="little"`. Its box in the mesh's frame spans
/// `translation[0] + scale[0] / resolution * [x, x + 1]` on the first axis, and so on: where all
/// axes have one scale, `translation` and `scale` mean what they mean in a binvox header.
#[derive(Debug, Clone, PartialEq)]
pub struct VoxelGrid {
    /// Cells along each axis.
    pub resolution: usize,
    /// Minimum corner of the grid in the mesh's frame.
    pub translation: [f64; 3],
    /// Edge lengths of the whole grid in the mesh's frame; equal unless each axis was fitted for
    /// itself.
    pub scale: [f64; 3],
    /// How the cells were decided.
    pub fill: Fill,
    bits: Vec<u8>,
}

impl VoxelGrid {
    /// Largest resolution: 2^30 cells, 128 MiB.
    pub const MAX_RESOLUTION: usize = 1024;

    /// Bytes that hold `resolution`^3 bits.
    pub fn byte_len(resolution: usize) -> usize {
        (resolution * resolution * resolution).div_ceil(8)
    }

    /// A grid without an occupied cell.
    pub fn empty(resolution: usize, translation: [f64; 3], scale: [f64; 3], fill: Fill) -> Self {
        let bits = vec![0; Self::byte_len(resolution)];
        Self { resolution, translation, scale, fill, bits }
    }

    /// A grid of packed bits; `None` when their number is not right for the resolution.
    pub fn from_bits(
        resolution: usize,
        translation: [f64; 3],
        scale: [f64; 3],
        fill: Fill,
        bits: Vec<u8>,
    ) -> Option<Self> {
        (bits.len() == Self::byte_len(resolution)).then_some(Self {
            resolution,
            translation,
            scale,
            fill,
            bits,
        })
    }

    /// The edge length of the whole grid, where it is the same on all axes.
    pub fn uniform_scale(&self) -> Option<f64> {
        let [x, y, z] = self.scale;
        (x == y && y == z).then_some(x)
    }

    /// Number of the bit of a cell.
    pub fn index(&self, x: usize, y: usize, z: usize) -> usize {
        (x * self.resolution + y) * self.resolution + z
    }

    /// Whether a cell is occupied.
    pub fn get(&self, x: usize, y: usize, z: usize) -> bool {
        self.get_index(self.index(x, y, z))
    }

    /// Whether the cell of a bit number is occupied.
    pub fn get_index(&self, index: usize) -> bool {
        self.bits[index / 8] >> (index % 8) & 1 == 1
    }

    /// Occupies a cell.
    pub fn set(&mut self, x: usize, y: usize, z: usize) {
        let index = self.index(x, y, z);
        self.set_index(index);
    }

    /// Occupies the cell of a bit number.
    pub fn set_index(&mut self, index: usize) {
        self.bits[index / 8] |= 1 << (index % 8);
    }

    /// Number of occupied cells.
    pub fn occupied(&self) -> usize {
        self.bits.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The packed bits.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// The packed bits, to be written; bits past the last cell must stay zero.
    pub fn bits_mut(&mut self) -> &mut [u8] {
        &mut self.bits
    }

    /// Cells occupied in both grids over cells occupied in either; 1 when both are empty.
    ///
    /// # Panics
    /// When the resolutions differ.
    pub fn iou(&self, other: &Self) -> f64 {
        assert_eq!(self.resolution, other.resolution, "grids of one resolution");
        let pairs = || self.bits.iter().zip(&other.bits);
        let both: u64 = pairs().map(|(a, b)| u64::from((a & b).count_ones())).sum();
        let either: u64 = pairs().map(|(a, b)| u64::from((a | b).count_ones())).sum();
        if either == 0 { 1.0 } else { both as f64 / either as f64 }
    }
}
