//! From rows of a data set to what a session steps on: one picture and the grid of each sample.

use voxflow_contract::{
    Batch, Column, ColumnType, Fault, ImageValues, Item, Purpose, Random, Refusals, ScalarType,
    Schema, SetupFault, Values, VoxelGrid, key_values, map_rows, tables,
};
use voxflow_formats::picture;

/// Edge of the grey thumbnails that pictures are compared by, in pixels.
pub const THUMBNAIL_SIZE: usize = 16;

/// Columns of a data set that are read, besides the key.
const COLUMNS: [&str; 4] = ["images", "voxels", "resolution", "split"];

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

/// How rows are prepared.
#[derive(Debug, Clone)]
pub struct Preparation {
    /// Edge of the grids, in voxels.
    pub cube_len: usize,
    /// Edge of the square pictures, in pixels.
    pub image_size: usize,
    /// What pictures are laid over: red, green, blue.
    pub background: [u8; 3],
    /// Which view a training item looks at.
    pub train_view: View,
    /// Which view any other item looks at.
    pub other_view: View,
    /// Views of each object that are looked at together, at least 1: the first is the one above, the
    /// others follow it evenly spaced among all.
    pub num_views: usize,
    /// Seed of random views.
    pub seed: u64,
}

impl Preparation {
    /// Names of the columns that are read.
    pub fn columns() -> Vec<String> {
        tables::KEY.iter().chain(&COLUMNS).map(|&name| name.to_owned()).collect()
    }

    /// Says whether rows of this schema can be prepared.
    ///
    /// # Errors
    /// Names the column that is missing or of another type, or the edge of the grids.
    pub fn check(&self, data: &Schema) -> Result<(), SetupFault> {
        for name in Self::columns() {
            if data.column(&name).is_none() {
                let hint = "make it with `voxelize`, `render_views` and `split` before the sink";
                let message = format!("the data set has no column `{name}`: {hint}");
                return Err(SetupFault::new(message));
            }
        }
        let is_images = |c: &Column| c.column_type == ColumnType::Images;
        if !data.column("images").is_some_and(is_images) {
            return Err(SetupFault::new("column `images` of the data set holds no pictures"));
        }
        let expected = VoxelGrid::byte_len(self.cube_len);
        match data.column("voxels").map(|column| &column.column_type) {
            Some(ColumnType::Tensor(ScalarType::UInt8, shape))
                if shape.iter().product::<usize>() == expected =>
            {
                Ok(())
            }
            Some(other) => Err(SetupFault::new(format!(
                "cube_len is {}, the data set's voxels are {other}: set cube_len to the resolution \
                 they were made with",
                self.cube_len
            ))),
            None => Err(SetupFault::new("the data set has no column `voxels`")),
        }
    }

    /// Rows with columns `image` (of each view red, green, blue planes in [0, 1]) and `voxels` (bits as
    /// stored).
    ///
    /// # Errors
    /// When a column is not what [`Preparation::check`] found. A sample whose picture or grid cannot
    /// be used is refused.
    pub fn pictures(
        &self,
        item: &Item,
        rows: &Batch,
        refusals: &mut Refusals,
    ) -> Result<Batch, Fault> {
        let images = rows.images("images")?;
        let samples = rows.utf8("sample")?;
        let view = if item.purpose == Purpose::Train { self.train_view } else { self.other_view };
        let work = |row: usize| {
            self.check_grid(rows, row)?;
            let first = view.pick(images.count(row), self.seed, item.epoch, samples.value(row));
            let mut planes = Vec::with_capacity(self.num_views * 3 * self.image_size.pow(2));
            for view in evenly_spaced(first, images.count(row), self.num_views)? {
                planes.extend(self.picture(&images, row, view)?);
            }
            Ok(planes)
        };
        let (kept, pictures) = map_rows(rows.rows(), refusals, work);
        let shape = vec![self.num_views, 3, self.image_size, self.image_size];
        let column = Column::new(
            "image",
            ColumnType::Tensor(ScalarType::Float32, shape.clone()),
            "Views, each of red, green and blue planes, 0 to 1.",
        );
        self.batch(rows, &kept, column, Values::tensors(&shape, pictures))
    }

    /// Rows with columns `thumbnails` (grey pictures of [`THUMBNAIL_SIZE`] squared bytes, of every
    /// view) and `voxels`.
    ///
    /// # Errors
    /// As [`Preparation::pictures`].
    pub fn thumbnails(&self, rows: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let images = rows.images("images")?;
        let work = |row: usize| {
            self.check_grid(rows, row)?;
            let mut all = Vec::new();
            for view in 0..images.count(row) {
                all.extend(thumbnail(&self.picture(&images, row, view)?, self.image_size));
            }
            Ok(all)
        };
        let (kept, thumbnails) = map_rows(rows.rows(), refusals, work);
        let doc = "Grey thumbnails of all views, one after the other.";
        let column = Column::new("thumbnails", ColumnType::List(ScalarType::UInt8), doc);
        self.batch(rows, &kept, column, Values::lists(thumbnails))
    }

    fn check_grid(&self, rows: &Batch, row: usize) -> Result<(), Fault> {
        let found = rows.numbers::<u32>("resolution")?[row] as usize;
        if found == self.cube_len {
            return Ok(());
        }
        let message = format!("its grid has edge {found}, cube_len is {}", self.cube_len);
        Err(Fault::new("resolution", message))
    }

    fn picture(
        &self,
        images: &ImageValues<'_>,
        row: usize,
        view: usize,
    ) -> Result<Vec<f32>, Fault> {
        let picture = picture::decode(images.bytes(row, view))
            .map_err(|e| Fault::new("picture", format!("view {view}: {e}")))?;
        Ok(picture::resize_rgb_f32(&picture, self.image_size as u32, self.background))
    }

    fn batch(
        &self,
        rows: &Batch,
        kept: &[usize],
        column: Column,
        values: Values,
    ) -> Result<Batch, Fault> {
        let bytes = VoxelGrid::byte_len(self.cube_len);
        let voxels = rows.tensors::<u8>("voxels")?;
        let grids = Values::tensors(&[bytes], kept.iter().map(|&row| voxels.value(row)));
        let mut columns = tables::key().columns().to_vec();
        columns.push(column);
        columns.push(Column::new(
            "voxels",
            ColumnType::Tensor(ScalarType::UInt8, vec![bytes]),
            "Occupancy, one bit a cell, as in the voxels table.",
        ));
        let mut all = key_values(rows, kept)?;
        all.extend([values, grids]);
        Ok(Batch::new(Schema::new("prepared", 1, columns), all)?)
    }
}

/// `wanted` of `count` views: the first, and others at equal distances after it, round and round.
fn evenly_spaced(first: usize, count: usize, wanted: usize) -> Result<Vec<usize>, Fault> {
    if wanted > count {
        let message = format!("it has {count} views, num_views is {wanted}");
        return Err(Fault::new("view", message));
    }
    if first >= count {
        return Err(Fault::new(
            "view",
            format!("there is no view {first}, the sample has {count}"),
        ));
    }
    Ok((0..wanted).map(|i| (first + i * count / wanted) % count).collect())
}

/// The grey thumbnail of colour planes of edge `size`: means of squares, 256 bytes.
pub(crate) fn thumbnail(planes: &[f32], size: usize) -> Vec<u8> {
    let plane = size * size;
    let grey = |x: usize, y: usize| {
        (0..3).map(|channel| planes[channel * plane + y * size + x]).sum::<f32>() / 3.0
    };
    let edges = |i: usize| {
        let start = i * size / THUMBNAIL_SIZE;
        start..((i + 1) * size / THUMBNAIL_SIZE).max(start + 1).min(size)
    };
    let mut pixels = Vec::with_capacity(THUMBNAIL_SIZE * THUMBNAIL_SIZE);
    for row in 0..THUMBNAIL_SIZE {
        for column in 0..THUMBNAIL_SIZE {
            let square = edges(row).flat_map(|y| edges(column).map(move |x| (x, y)));
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
        assert_eq!((spaced(0, 3, 4), spaced(3, 3, 1)), (None, None));
    }

    #[test]
    fn thumbnails_are_means_of_squares() {
        let size = 32;
        let planes: Vec<f32> =
            (0..3 * size * size).map(|i| if i % 2 == 0 { 1.0 } else { 0.0 }).collect();
        assert_eq!(thumbnail(&planes, size), vec![128; 256]);
        let small = vec![0.2; 3 * 8 * 8];
        assert_eq!(thumbnail(&small, 8), vec![51; 256]);
    }
}
