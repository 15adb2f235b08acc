//! From rows of a data set to what a session steps on: pictures, poses and the grid of each sample.

use voxflow_contract::{
    Batch, Column, ColumnType, Fault, ImageValues, Item, Purpose, Random, Refusals, ScalarType,
    Schema, SetupFault, Values, VoxelGrid, key_values, map_rows, tables,
};
use voxflow_formats::picture::{self, Picture};

use crate::train_params::Target;

/// Edge of the grey thumbnails that pictures are compared by, in pixels.
pub const THUMBNAIL_SIZE: usize = 16;

/// Which of an object's views is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Another one each epoch, drawn from seed, epoch and sample.
    Random,
    /// Always this one, from 0.
    Fixed(usize),
}

impl View {
    /// Reads `random` or `fixed:K`.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "random" {
            return Ok(Self::Random);
        }
        let index = text.strip_prefix("fixed:").and_then(|k| k.parse().ok());
        index.map(Self::Fixed).ok_or_else(|| "must be \"random\" or \"fixed:K\"".to_owned())
    }

    /// The first view for a sample in an epoch.
    fn pick(self, count: usize, seed: u64, epoch: u64, sample: &str) -> usize {
        match self {
            Self::Fixed(index) => index,
            Self::Random => Random::new(seed, &["train/view", &epoch.to_string(), sample])
                .below(count.max(1) as u64) as usize,
        }
    }
}

/// What pictures become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureForm {
    /// 3 for red, green and blue, 1 for grey by ITU-R BT.601.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// What pictures are laid over: red, green, blue.
    pub background: [u8; 3],
}

impl PictureForm {
    /// Numbers of one view.
    pub fn numbers(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// How rows are prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preparation {
    /// Edge of the grids, in voxels.
    pub cube_len: usize,
    /// What pictures become; none where grids alone are looked at.
    pub picture: Option<PictureForm>,
    /// Whether the pose of each view is wanted.
    pub poses: bool,
    /// Where the grids stand.
    pub target: Target,
    /// Which view a training item looks at.
    pub train_view: View,
    /// Which view any other item looks at.
    pub other_view: View,
    /// Views of each object that are looked at together, at least 1: the first is the one above, the
    /// others follow it evenly spaced among all.
    pub num_views: usize,
    /// Views that a sample must have; one with fewer than `num_views` is looked at from all it has.
    pub min_views: usize,
    /// Seed of random views.
    pub seed: u64,
}

/// Numbers of a pose: the rotation of `camera_from_world` row by row, then its translation.
const POSE_SIZE: usize = 12;

impl Preparation {
    /// Names of the columns that are read.
    pub fn columns(&self) -> Vec<String> {
        let grids: &[&str] = match self.target {
            Target::Voxels => &["voxels", "resolution"],
            Target::Occupancy => &["occupancy"],
        };
        let images = self.picture.map(|_| "images");
        let poses = self.poses.then_some("camera_from_world");
        let own = grids.iter().copied().chain(images).chain(poses).chain(["split"]);
        tables::KEY.iter().copied().chain(own).map(str::to_owned).collect()
    }

    /// Says whether rows of this schema can be prepared.
    ///
    /// # Errors
    /// Names the column that is missing or of another type, or the edge of the grids.
    pub fn check(&self, data: &Schema) -> Result<(), SetupFault> {
        for name in self.columns() {
            if data.column(&name).is_none() {
                let hint = match name.as_str() {
                    "occupancy" => {
                        "make it with `downsample_mean`, or learn from `voxels` by \
                         target = \"voxels\""
                    }
                    "camera_from_world" => {
                        "make it with `extract_poses`, or do without by use_pose = false"
                    }
                    _ => "make it with `voxelize`, `render_views` and `split` before the sink",
                };
                let message = format!("the data set has no column `{name}`: {hint}");
                return Err(SetupFault::new(message));
            }
        }
        let is_images = |c: &Column| c.column_type == ColumnType::Images;
        if self.picture.is_some() && !data.column("images").is_some_and(is_images) {
            return Err(SetupFault::new("column `images` of the data set holds no pictures"));
        }
        self.check_grids(data)
    }

    fn check_grids(&self, data: &Schema) -> Result<(), SetupFault> {
        let (name, scalar, expected) = match self.target {
            Target::Voxels => ("voxels", ScalarType::UInt8, VoxelGrid::byte_len(self.cube_len)),
            Target::Occupancy => ("occupancy", ScalarType::Float32, self.cube_len.pow(3)),
        };
        match data.column(name).map(|column| &column.column_type) {
            Some(ColumnType::Tensor(found, shape))
                if *found == scalar && shape.iter().product::<usize>() == expected =>
            {
                Ok(())
            }
            Some(other) => Err(SetupFault::new(format!(
                "cube_len is {}, the data set's {name} are {other}: set cube_len to the resolution \
                 they were made with",
                self.cube_len
            ))),
            None => Err(SetupFault::new(format!("the data set has no column `{name}`"))),
        }
    }

    /// Rows with what a network steps on: `image` (the planes of each view, in [0, 1]) and `pose` (12
    /// numbers of each view) where they are wanted, `voxels` (bits as stored), and `occupancy` where
    /// that is the target.
    ///
    /// # Errors
    /// When a column is not what [`Preparation::check`] found. A sample whose picture, pose or grid
    /// cannot be used is refused.
    pub fn rows(&self, item: &Item, rows: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let samples = rows.utf8("sample")?;
        let view = if item.purpose == Purpose::Train { self.train_view } else { self.other_view };
        let work = |row: usize| {
            self.check_grid(rows, row)?;
            let Some(form) = self.picture else { return Ok((Vec::new(), Vec::new())) };
            let images = rows.images("images")?;
            let first = view.pick(images.count(row), self.seed, item.epoch, samples.value(row));
            let (mut planes, mut poses) =
                (Vec::with_capacity(self.num_views * form.numbers()), Vec::new());
            for view in evenly_spaced(first, images.count(row), self.wanted(images.count(row))?)? {
                planes.extend(picture_of(&images, row, view, form)?);
                if self.poses {
                    poses.extend(pose_of(rows, row, view)?);
                }
            }
            Ok((planes, poses))
        };
        let (kept, seen) = map_rows(rows.rows(), refusals, work);
        let mut more = Vec::new();
        if let Some(form) = self.picture {
            let numbers = form.numbers();
            let values = Values::tensor_lists(numbers, seen.iter().map(|(planes, _)| planes));
            let doc = "The planes of each view, 0 to 1.";
            let images = ColumnType::TensorList(ScalarType::Float32, numbers);
            more.push((Column::new("image", images, doc), values));
        }
        if self.poses {
            let values = Values::tensor_lists(POSE_SIZE, seen.iter().map(|(_, poses)| poses));
            let doc = "Rotation of camera_from_world row by row and its translation, of each view.";
            let poses = ColumnType::TensorList(ScalarType::Float32, POSE_SIZE);
            more.push((Column::new("pose", poses, doc), values));
        }
        self.batch(rows, &kept, more)
    }

    /// Rows with columns `thumbnails` (grey pictures of [`THUMBNAIL_SIZE`] squared bytes, of every
    /// view; none where pictures are not looked at) and `voxels`.
    ///
    /// # Errors
    /// As [`Preparation::rows`].
    pub fn thumbnails(&self, rows: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let work = |row: usize| {
            self.check_grid(rows, row)?;
            let mut all = Vec::new();
            if let Some(form) = self.picture {
                let images = rows.images("images")?;
                for view in 0..images.count(row) {
                    all.extend(thumbnail(&picture_of(&images, row, view, form)?, form));
                }
            }
            Ok(all)
        };
        let (kept, thumbnails) = map_rows(rows.rows(), refusals, work);
        let doc = "Grey thumbnails of all views, one after the other.";
        let column = Column::new("thumbnails", ColumnType::List(ScalarType::UInt8), doc);
        self.batch(rows, &kept, vec![(column, Values::lists(thumbnails))])
    }

    /// How many of `count` views are looked at.
    fn wanted(&self, count: usize) -> Result<usize, Fault> {
        if count >= self.min_views {
            return Ok(self.num_views.min(count));
        }
        let message = match self.min_views == self.num_views {
            true => format!("it has {count} views, num_views is {}", self.num_views),
            false => format!("it has {count} views, min_views is {}", self.min_views),
        };
        Err(Fault::new("view", message))
    }

    fn check_grid(&self, rows: &Batch, row: usize) -> Result<(), Fault> {
        if self.target == Target::Occupancy {
            return Ok(());
        }
        let found = rows.numbers::<u32>("resolution")?[row] as usize;
        if found == self.cube_len {
            return Ok(());
        }
        let message = format!("its grid has edge {found}, cube_len is {}", self.cube_len);
        Err(Fault::new("resolution", message))
    }

    /// The kept rows' keys, the columns given, and their grids.
    fn batch(
        &self,
        rows: &Batch,
        kept: &[usize],
        more: Vec<(Column, Values)>,
    ) -> Result<Batch, Fault> {
        let mut columns = tables::key().columns().to_vec();
        let mut all = key_values(rows, kept)?;
        for (column, values) in more {
            columns.push(column);
            all.push(values);
        }
        let bytes = VoxelGrid::byte_len(self.cube_len);
        columns.push(Column::new(
            "voxels",
            ColumnType::Tensor(ScalarType::UInt8, vec![bytes]),
            "Occupancy, one bit a cell, as in the voxels table.",
        ));
        match self.target {
            Target::Voxels => {
                let voxels = rows.tensors::<u8>("voxels")?;
                all.push(Values::tensors(&[bytes], kept.iter().map(|&row| voxels.value(row))));
            }
            Target::Occupancy => {
                let soft = rows.tensors::<f32>("occupancy")?;
                let hard = kept.iter().map(|&row| half_full(soft.value(row)));
                all.push(Values::tensors(&[bytes], hard));
                let cells = self.cube_len.pow(3);
                columns.push(Column::new(
                    "occupancy",
                    ColumnType::Tensor(ScalarType::Float32, vec![cells]),
                    "Share of each cell that is full, 0 to 1.",
                ));
                all.push(Values::tensors(&[cells], kept.iter().map(|&row| soft.value(row))));
            }
        }
        Ok(Batch::new(Schema::new("prepared", 1, columns), all)?)
    }
}

/// The planes of one view.
fn picture_of(
    images: &ImageValues<'_>,
    row: usize,
    view: usize,
    form: PictureForm,
) -> Result<Vec<f32>, Fault> {
    let picture = picture::decode(images.bytes(row, view))
        .map_err(|e| Fault::new("picture", format!("view {view}: {e}")))?;
    Ok(planes(&picture, form))
}

/// A picture as a network sees it, `[channels, height, width]`.
pub(crate) fn planes(picture: &Picture, form: PictureForm) -> Vec<f32> {
    let size = [form.width as u32, form.height as u32];
    let planes = picture::fit_rgb_f32(picture, size, form.background);
    if form.channels == 3 {
        return planes;
    }
    let pixels = form.height * form.width;
    let (red, rest) = planes.split_at(pixels);
    let (green, blue) = rest.split_at(pixels);
    let mix = |((r, g), b): ((&f32, &f32), &f32)| 0.299 * r + 0.587 * g + 0.114 * b;
    red.iter().zip(green).zip(blue).map(mix).collect()
}

/// The pose of one view: rotation row by row, then translation.
fn pose_of(rows: &Batch, row: usize, view: usize) -> Result<[f32; POSE_SIZE], Fault> {
    let poses = rows.tensor_lists::<f32>("camera_from_world")?;
    let all = poses.value(row);
    let Some(matrix) = all.chunks_exact(16).nth(view) else {
        let message = format!("there is no pose of view {view}, the sample has {}", all.len() / 16);
        return Err(Fault::new("pose", message));
    };
    let rotation = |i: usize| matrix[4 * (i / 3) + i % 3];
    let pose = std::array::from_fn(|i| if i < 9 { rotation(i) } else { matrix[4 * (i - 9) + 3] });
    match pose.iter().all(|number: &f32| number.is_finite()) {
        true => Ok(pose),
        false => Err(Fault::new("pose", format!("the pose of view {view} is not finite"))),
    }
}

/// One bit a cell: whether at least half of it is full.
fn half_full(occupancy: &[f32]) -> Vec<u8> {
    let byte = |cells: &[f32]| {
        cells.iter().enumerate().fold(0, |bits, (i, &p)| bits | u8::from(p >= 0.5) << i)
    };
    occupancy.chunks(8).map(byte).collect()
}

/// `wanted` of `count` views, no more than there are: the first, and others at equal distances after
/// it, round and round.
fn evenly_spaced(first: usize, count: usize, wanted: usize) -> Result<Vec<usize>, Fault> {
    if first >= count {
        let message = format!("there is no view {first}, the sample has {count}");
        return Err(Fault::new("view", message));
    }
    Ok((0..wanted).map(|i| (first + i * count / wanted) % count).collect())
}

/// The grey thumbnail of a picture's planes: means of squares, 256 bytes.
pub(crate) fn thumbnail(planes: &[f32], form: PictureForm) -> Vec<u8> {
    let plane = form.height * form.width;
    let grey = |x: usize, y: usize| {
        let channels = 0..form.channels;
        let sum: f32 = channels.map(|channel| planes[channel * plane + y * form.width + x]).sum();
        sum / form.channels as f32
    };
    let edges = |i: usize, side: usize| {
        let start = i * side / THUMBNAIL_SIZE;
        start..((i + 1) * side / THUMBNAIL_SIZE).max(start + 1).min(side)
    };
    let mut pixels = Vec::with_capacity(THUMBNAIL_SIZE * THUMBNAIL_SIZE);
    for row in 0..THUMBNAIL_SIZE {
        for column in 0..THUMBNAIL_SIZE {
            let square = edges(row, form.height)
                .flat_map(|y| edges(column, form.width).map(move |x| (x, y)));
            let values: Vec<f32> = square.map(|(x, y)| grey(x, y)).collect();
            let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
            pixels.push((mean * 255.0).round().clamp(0.0, 255.0) as u8);
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_read_and_drawn() {
        assert_eq!(View::parse("random"), Ok(View::Random));
        assert_eq!(View::parse("fixed:3"), Ok(View::Fixed(3)));
        assert!(View::parse("fixed:x").is_err());
        let drawn = |epoch| View::Random.pick(12, 1, epoch, "a");
        assert_eq!(drawn(0), drawn(0));
        assert!((0..20).map(drawn).any(|view| view != drawn(0)));
        assert!((0..20).map(drawn).all(|view| view < 12));
    }

    #[test]
    fn views_are_spread_evenly_and_each_is_there_once() {
        let spaced = |first, count, wanted| evenly_spaced(first, count, wanted).ok();
        assert_eq!(spaced(0, 12, 4), Some(vec![0, 3, 6, 9]));
        assert_eq!(spaced(11, 12, 3), Some(vec![11, 3, 7]));
        assert_eq!(spaced(2, 5, 5), Some(vec![2, 3, 4, 0, 1]));
        assert_eq!(spaced(3, 5, 1), Some(vec![3]));
        assert_eq!(spaced(3, 3, 1), None);
    }

    #[test]
    fn thumbnails_are_means_of_squares() {
        let form =
            |channels, height, width| PictureForm { channels, height, width, background: [0; 3] };
        let planes: Vec<f32> =
            (0..3 * 32 * 32).map(|i| if i % 2 == 0 { 1.0 } else { 0.0 }).collect();
        assert_eq!(thumbnail(&planes, form(3, 32, 32)), vec![128; 256]);
        assert_eq!(thumbnail(&[0.2; 3 * 8 * 8], form(3, 8, 8)), vec![51; 256]);
        assert_eq!(thumbnail(&[0.2; 32 * 64], form(1, 32, 64)), vec![51; 256]);
    }

    #[test]
    fn grey_is_weighed_as_television_does() {
        let red = Picture { width: 1, height: 1, channels: 3, data: vec![255, 0, 0] };
        let form = PictureForm { channels: 1, height: 1, width: 1, background: [0; 3] };
        assert_eq!(planes(&red, form), [0.299]);
    }

    #[test]
    fn soft_cells_count_from_one_half_on() {
        assert_eq!(half_full(&[0.5, 0.49, 1.0, 0.0, 0.0, 0.0, 0.0, 0.7, 0.6]), [0b1000_0101, 1]);
    }
}
