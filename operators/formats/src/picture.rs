//! Pictures: PNG and JPEG in, PNG out, and the square of numbers that training wants.

use std::io::Cursor;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::error::{DecodingError, UnsupportedError};
use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError,
    ImageFormat, ImageReader, Limits,
};

use crate::error::FormatError;
use crate::inflate::MOST_EXPANSION;
use crate::scan::error;

/// A picture of 8-bit samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Samples of a pixel: 1 is grey, 3 is red green blue, 4 is those and alpha (not
    /// premultiplied, 255 is opaque).
    pub channels: u8,
    /// `width * height * channels` samples, top row first, left pixel first.
    pub data: Vec<u8>,
}

/// Most pixels on a side of a picture that is read.
pub const MAX_SIDE_PIXELS: u32 = 16_384;
/// Most bytes of a picture that is read, as its file stores the samples.
pub const MAX_PICTURE_BYTES: u64 = 512 << 20;

/// Reads a PNG or a JPEG, told apart by content.
///
/// 16-bit samples are reduced to 8, palettes expanded, grey with alpha becomes red green blue
/// alpha; colour profiles, gamma and EXIF orientation are ignored.
///
/// # Errors
/// `empty`, `unsupported` (neither PNG nor JPEG), `too_large` (more than [`MAX_SIDE_PIXELS`] or
/// [`MAX_PICTURE_BYTES`]), `truncated`, `bad_picture`.
///
/// ```
/// use voxflow_formats::picture::{Picture, decode, encode_png};
///
/// let picture = Picture { width: 2, height: 1, channels: 3, data: vec![255, 0, 0, 0, 0, 255] };
/// assert_eq!(decode(&encode_png(&picture)?)?, picture);
/// # Ok::<(), voxflow_formats::FormatError>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<Picture, FormatError> {
    let decoder = open(bytes)?;
    DynamicImage::from_decoder(decoder).map(reduce).map_err(|cause| decode_error(&cause))
}

/// Reads a grey picture of 16-bit samples: width and height in pixels, and the samples, top row
/// first.
///
/// # Errors
/// As [`decode`]; `unsupported` when it is of another type.
pub fn decode_grey_u16(bytes: &[u8]) -> Result<(u32, u32, Vec<u16>), FormatError> {
    let decoder = open(bytes)?;
    if decoder.color_type() != ColorType::L16 {
        let found = decoder.color_type();
        let message =
            format_args!("the picture has samples of type {found:?}, not 16-bit grey ones");
        return Err(error("unsupported", 0, message));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|cause| decode_error(&cause))?;
    Ok((image.width(), image.height(), image.into_luma16().into_raw()))
}

/// A reader that has seen the sides of a picture, which are not too large.
fn open(bytes: &[u8]) -> Result<impl ImageDecoder + '_, FormatError> {
    let format = format_of(bytes)?;
    match format {
        ImageFormat::Jpeg if !jpeg_ends(bytes) => {
            let message = "the JPEG has no end marker: it is cut off";
            return Err(error("truncated", bytes.len(), message));
        }
        ImageFormat::Png if png_promises_too_much(bytes) => {
            let message = "the PNG promises more samples than its bytes can stand for";
            return Err(error("truncated", bytes.len(), message));
        }
        _ => {}
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE_PIXELS);
    limits.max_image_height = Some(MAX_SIDE_PIXELS);
    limits.max_alloc = Some(MAX_PICTURE_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|cause| decode_error(&cause))?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > MAX_SIDE_PIXELS || decoder.total_bytes() > MAX_PICTURE_BYTES {
        let message = format_args!(
            "the picture is {width} x {height}: the most is {MAX_SIDE_PIXELS} pixels a side and \
             {MAX_PICTURE_BYTES} bytes"
        );
        return Err(error("too_large", 0, message));
    }
    let pixels = u64::from(width) * u64::from(height);
    if format == ImageFormat::Jpeg && pixels > bytes.len() as u64 * MOST_JPEG_PIXELS_A_BYTE {
        let message = format_args!(
            "the JPEG promises {width} x {height} pixels, its bytes cannot stand for so many"
        );
        return Err(error("truncated", bytes.len(), message));
    }
    Ok(decoder)
}

/// Writes a PNG with fast compression; equal pictures give equal bytes.
///
/// # Errors
/// `bad_picture` when the picture has no pixels, another number of channels than 1, 3 or 4, or
/// another number of samples than its sides say.
pub fn encode_png(picture: &Picture) -> Result<Vec<u8>, FormatError> {
    let color = match picture.channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        4 => ExtendedColorType::Rgba8,
        other => return Err(bad(format_args!("a picture has {other} channels, not 1, 3 or 4"))),
    };
    write_png(&picture.data, picture.width, picture.height, color)
}

/// Writes a grey PNG of 16-bit samples, top row first; equal pictures give equal bytes.
///
/// # Errors
/// `bad_picture` when there are no pixels, or other than `width * height` samples.
pub fn encode_png_u16(width: u32, height: u32, samples: &[u16]) -> Result<Vec<u8>, FormatError> {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect();
    write_png(&bytes, width, height, ExtendedColorType::L16)
}

/// The picture as numbers of shape `[3, height, width]`, 0 to 1, red plane first.
///
/// The whole picture is there, as large as fits and undistorted; what is left on two sides is
/// `background`, and so is what alpha lets through. Grey fills three planes. A triangle filter
/// averages when the picture shrinks. Samples are used as they are stored, without gamma.
///
/// # Panics
/// When the picture does not hold as many samples as its sides and channels say.
///
/// ```
/// use voxflow_formats::picture::{Picture, fit_rgb_f32};
///
/// let grey = Picture { width: 2, height: 2, channels: 1, data: vec![0, 255, 255, 0] };
/// assert_eq!(fit_rgb_f32(&grey, [1, 1], [0, 0, 0]), [0.5, 0.5, 0.5]);
/// assert_eq!(fit_rgb_f32(&grey, [3, 1], [0, 0, 0])[..3], [0.0, 0.5, 0.0]);
/// ```
pub fn fit_rgb_f32(picture: &Picture, [width, height]: [u32; 2], background: [u8; 3]) -> Vec<f32> {
    let (from_width, from_height) = (u64::from(picture.width), u64::from(picture.height));
    // Rounded to whole pixels, and never to none.
    let scaled = |side: u32, from: u64, to: u64| {
        ((u64::from(side) * to + from / 2) / from.max(1)).max(1) as u32
    };
    let is_wider = from_width * u64::from(height) >= from_height * u64::from(width);
    let inner = match is_wider {
        true => [width, scaled(width, from_width, from_height).min(height)],
        false => [scaled(height, from_height, from_width).min(width), height],
    };
    let fitted = stretch_rgb_f32(picture, inner, background);
    if inner == [width, height] {
        return fitted;
    }
    let [inner_width, inner_height] = inner.map(|side| side as usize);
    let (width, height) = (width as usize, height as usize);
    let (left, top) = ((width - inner_width) / 2, (height - inner_height) / 2);
    let planes = background.iter().flat_map(|c| std::iter::repeat_n(unit(*c), width * height));
    let mut padded: Vec<f32> = planes.collect();
    for (i, row) in fitted.chunks_exact(inner_width).enumerate() {
        let (plane, y) = (i / inner_height, i % inner_height + top);
        let start = plane * width * height + y * width + left;
        padded[start..start + inner_width].copy_from_slice(row);
    }
    padded
}

/// The picture stretched to `[3, height, width]`.
fn stretch_rgb_f32(
    picture: &Picture,
    [to_width, to_height]: [u32; 2],
    background: [u8; 3],
) -> Vec<f32> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let samples = width * height * usize::from(picture.channels);
    assert_eq!(samples, picture.data.len(), "a picture has another number of samples");
    let plane = to_width as usize * to_height as usize;
    if samples == 0 {
        return background.iter().flat_map(|c| std::iter::repeat_n(unit(*c), plane)).collect();
    }
    let mut planes = vec![0.0; 3 * width * height];
    split_planes(picture, background, &mut planes);
    if (picture.width, picture.height) == (to_width, to_height) {
        return planes;
    }
    let narrow = resize_rows(&planes, width, &taps(width, to_width as usize));
    resize_columns(&narrow, height, to_width as usize, &taps(height, to_height as usize))
}

fn format_of(bytes: &[u8]) -> Result<ImageFormat, FormatError> {
    if bytes.is_empty() {
        return Err(error("empty", 0, "the file holds no bytes"));
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(ImageFormat::Png);
    }
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        return Ok(ImageFormat::Jpeg);
    }
    Err(error("unsupported", 0, "the file is neither PNG nor JPEG"))
}

/// Whether an end marker follows the last scan. The JPEG reader fills what is missing with grey
/// and says nothing, which no training set should hold.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xd9]) > last([0xff, 0xda])
}

/// A block of 64 pixels takes a bit at least, the first scan of a progressive picture no more; twice
/// that is allowed.
const MOST_JPEG_PIXELS_A_BYTE: u64 = 1024;

/// Whether the rows of a PNG, as its header has them, are more than deflate can make of the file: a
/// header alone must not make the reader allocate.
fn png_promises_too_much(bytes: &[u8]) -> bool {
    let Some(&[w0, w1, w2, w3, h0, h1, h2, h3, depth, color]) =
        bytes.get(16..26).and_then(|header| header.first_chunk())
    else {
        return false;
    };
    let channels = match color {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let [width, height] = [[w0, w1, w2, w3], [h0, h1, h2, h3]].map(u32::from_be_bytes);
    // Sides that are too large have an error of their own.
    let is_read = width.max(height) <= MAX_SIDE_PIXELS;
    let row_bytes = (u64::from(width) * u64::from(depth) * channels).div_ceil(8);
    is_read && row_bytes * u64::from(height) > (bytes.len() * MOST_EXPANSION) as u64
}

/// Down to 8 bits and 1, 3 or 4 channels.
fn reduce(image: DynamicImage) -> Picture {
    let (width, height) = (image.width(), image.height());
    let color = image.color();
    let (channels, data) = match (color.has_color(), color.has_alpha()) {
        (false, false) => (1, image.into_luma8().into_raw()),
        (true, false) => (3, image.into_rgb8().into_raw()),
        (_, true) => (4, image.into_rgba8().into_raw()),
    };
    Picture { width, height, channels, data }
}

fn decode_error(cause: &ImageError) -> FormatError {
    let code = match cause {
        ImageError::Limits(_) => "too_large",
        ImageError::Unsupported(UnsupportedError { .. }) => "unsupported",
        ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => "truncated",
        ImageError::Decoding(decoding) if is_cut_off(decoding) => "truncated",
        _ => "bad_picture",
    };
    FormatError { code, message: format!("cannot read the picture: {cause}"), offset: None }
}

/// Whether the cause of an error is that the bytes end.
fn is_cut_off(decoding: &DecodingError) -> bool {
    let source = std::error::Error::source(decoding);
    source
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof)
}

fn bad(message: impl std::fmt::Display) -> FormatError {
    FormatError { code: "bad_picture", message: message.to_string(), offset: None }
}

fn write_png(
    samples: &[u8],
    width: u32,
    height: u32,
    color: ExtendedColorType,
) -> Result<Vec<u8>, FormatError> {
    let expected = u64::from(width)
        .checked_mul(u64::from(height))
        .and_then(|pixels| pixels.checked_mul(u64::from(color.bits_per_pixel() / 8)));
    if expected != Some(samples.len() as u64) || samples.is_empty() {
        let found = samples.len();
        return Err(bad(format_args!(
            "a picture of {width} x {height} pixels and type {color:?} has {found} bytes"
        )));
    }
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Sub)
        .write_image(samples, width, height, color)
        .map_err(|cause| bad(format_args!("cannot write the picture: {cause}")))?;
    Ok(bytes)
}

fn unit(sample: u8) -> f32 {
    f32::from(sample) / 255.0
}

/// Three planes of numbers from 0 to 1, alpha laid over the background.
fn split_planes(picture: &Picture, background: [u8; 3], planes: &mut [f32]) {
    let plane = planes.len() / 3;
    let (red, rest) = planes.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    let outs = red.iter_mut().zip(green).zip(blue);
    let samples = &picture.data;
    match picture.channels {
        1 => outs.zip(samples).for_each(|(((r, g), b), sample)| {
            *r = unit(*sample);
            (*g, *b) = (*r, *r);
        }),
        3 => outs.zip(samples.as_chunks::<3>().0).for_each(|(((r, g), b), pixel)| {
            (*r, *g, *b) = (unit(pixel[0]), unit(pixel[1]), unit(pixel[2]));
        }),
        _ => {
            let background = background.map(unit);
            outs.zip(samples.chunks_exact(usize::from(picture.channels))).for_each(
                |(((r, g), b), pixel)| {
                    let alpha = pixel.get(3).map_or(1.0, |alpha| unit(*alpha));
                    let over = |i: usize| {
                        let sample = pixel.get(i).map_or(0.0, |sample| unit(*sample));
                        sample * alpha + background[i] * (1.0 - alpha)
                    };
                    (*r, *g, *b) = (over(0), over(1), over(2));
                },
            );
        }
    }
}

/// Which inputs make an output, and how much of each: first input, weights that sum to 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The taps of each of `to` outputs over `from` inputs, for a triangle filter as wide as the
/// shrinkage, two inputs at least.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let radius = scale.max(1.0);
    let tap = |output: usize| {
        let center = (output as f64 + 0.5) * scale;
        let first = (center - radius + 0.5).max(0.0) as usize;
        let end = ((center + radius + 0.5) as usize).min(from);
        let weight = |input: usize| (1.0 - ((input as f64 + 0.5 - center) / radius).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        Taps { first, weights: (first..end).map(|input| (weight(input) / sum) as f32).collect() }
    };
    (0..to).map(tap).collect()
}

/// Resizes each row of `width` numbers.
fn resize_rows(numbers: &[f32], width: usize, taps: &[Taps]) -> Vec<f32> {
    let mut resized = Vec::with_capacity(numbers.len() / width * taps.len());
    for row in numbers.chunks_exact(width) {
        resized.extend(taps.iter().map(|tap| {
            let inputs = &row[tap.first..][..tap.weights.len()];
            inputs.iter().zip(&tap.weights).map(|(input, weight)| input * weight).sum::<f32>()
        }));
    }
    resized
}

/// Resizes each of three planes of `height` rows of `width` numbers, column by column.
fn resize_columns(numbers: &[f32], height: usize, width: usize, taps: &[Taps]) -> Vec<f32> {
    let mut resized = vec![0.0; 3 * taps.len() * width];
    if width == 0 {
        return resized;
    }
    let planes = numbers.chunks_exact(height * width);
    for (plane, out) in planes.zip(resized.chunks_exact_mut(taps.len() * width)) {
        for (tap, out) in taps.iter().zip(out.chunks_exact_mut(width)) {
            let rows = plane[tap.first * width..].chunks_exact(width);
            for (row, weight) in rows.zip(&tap.weights) {
                out.iter_mut().zip(row).for_each(|(out, number)| *out += number * weight);
            }
        }
    }
    resized
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    fn gradient(width: u32, height: u32, channels: u8) -> Picture {
        let count = width * height * u32::from(channels);
        let data = (0..count).map(|i| (i * 7 % 251) as u8).collect();
        Picture { width, height, channels, data }
    }

    fn jpeg(picture: &Picture) -> Vec<u8> {
        let color =
            if picture.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95)
            .write_image(&picture.data, picture.width, picture.height, color)
            .expect("a valid picture");
        bytes
    }

    fn code(bytes: &[u8]) -> &'static str {
        decode(bytes).expect_err("bytes that are no picture").code
    }

    #[test]
    fn png_round_trips_and_is_deterministic() {
        for channels in [1, 3, 4] {
            let picture = gradient(13, 7, channels);
            let bytes = encode_png(&picture).expect("a valid picture");
            assert_eq!(encode_png(&picture).expect("a valid picture"), bytes);
            assert_eq!(decode(&bytes), Ok(picture));
        }
    }

    #[test]
    fn jpeg_keeps_size_and_channels() {
        for channels in [1, 3] {
            let picture = Picture {
                data: vec![99; 16 * 8 * usize::from(channels)],
                ..gradient(16, 8, channels)
            };
            let read = decode(&jpeg(&picture)).expect("a JPEG");
            assert_eq!((read.width, read.height, read.channels), (16, 8, channels));
            assert!(read.data.iter().all(|sample| sample.abs_diff(99) <= 2), "{:?}", read.data);
        }
    }

    #[test]
    fn sixteen_bits_become_eight() {
        let bytes = encode_png_u16(3, 1, &[0, 0x8080, 0xffff]).expect("a valid picture");
        let exact = image::load_from_memory(&bytes).expect("a PNG").into_luma16().into_raw();
        assert_eq!(exact, [0, 0x8080, 0xffff]);
        let reduced = Picture { width: 3, height: 1, channels: 1, data: vec![0, 128, 255] };
        assert_eq!(decode(&bytes), Ok(reduced));
    }

    /// A PNG of one row of chunks, which need not be what the writer here makes.
    fn png(
        bit_depth: u8,
        color: u8,
        width: u32,
        height: u32,
        chunks: &[(&[u8; 4], &[u8])],
    ) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        let header = [&sides[..], &[bit_depth, color, 0, 0, 0]].concat();
        for (name, body) in [(b"IHDR", header.as_slice())].iter().chain(chunks) {
            let mut crc = flate2::Crc::new();
            crc.update(*name);
            crc.update(body);
            file.extend((body.len() as u32).to_be_bytes());
            file.extend([&name[..], body].concat());
            file.extend(crc.sum().to_be_bytes());
        }
        file
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }

    #[test]
    fn few_bits_and_palettes_become_eight_bits() {
        // Two rows of 5 pixels, each after a filter byte.
        let rows = zlib(&[0, 0b1010_1000, 0, 0b0101_0000]);
        let masks = png(1, 0, 5, 2, &[(b"IDAT", &rows), (b"IEND", b"")]);
        let picture = decode(&masks).expect("a mask of 1 bit");
        assert_eq!(picture.data, [255, 0, 255, 0, 255, 0, 255, 0, 255, 0]);
        let palette = [(b"PLTE", &[9, 8, 7, 1, 2, 3][..]), (b"IDAT", &rows), (b"IEND", b"")];
        let picture = decode(&png(1, 3, 5, 2, &palette)).expect("a palette of 1 bit");
        assert_eq!((picture.channels, &picture.data[..6]), (3, &[1, 2, 3, 9, 8, 7][..]));
        let clear = [palette[0], (b"tRNS", &[0][..]), palette[1], palette[2]];
        let picture = decode(&png(1, 3, 5, 2, &clear)).expect("a palette with alpha");
        assert_eq!((picture.channels, &picture.data[..8]), (4, &[1, 2, 3, 255, 9, 8, 7, 0][..]));
        let grey = png(2, 0, 4, 1, &[(b"IDAT", &zlib(&[0, 0b0001_1011])), (b"IEND", b"")]);
        assert_eq!(decode(&grey).expect("grey of 2 bits").data, [0, 85, 170, 255]);
    }

    #[test]
    fn headers_alone_make_no_room() {
        let tiny = png(8, 6, 11_000, 11_000, &[(b"IDAT", &zlib(&[0])), (b"IEND", b"")]);
        assert_eq!(code(&tiny), "truncated");
        assert_eq!(code(&png(16, 6, 16_000, 16_000, &[])), "truncated");
        assert_eq!(code(&png(8, 0, u32::MAX, u32::MAX, &[])), "too_large");
        let mut promising = jpeg(&gradient(8, 8, 1));
        let sides =
            promising.windows(2).position(|mark| mark == [0xff, 0xc0]).expect("a frame") + 5;
        promising[sides..sides + 4].copy_from_slice(&[0x30, 0, 0x30, 0]);
        assert_eq!(code(&promising), "truncated");
    }

    #[test]
    fn refusals() {
        assert_eq!(code(b""), "empty");
        assert_eq!(code(b"GIF89a"), "unsupported");
        let png = encode_png(&gradient(40, 40, 3)).expect("a valid picture");
        assert_eq!(code(&png[..png.len() / 2]), "truncated");
        assert_eq!(code(&png[..20]), "truncated");
        let jpeg = jpeg(&gradient(40, 40, 3));
        assert_eq!(code(&jpeg[..jpeg.len() / 2]), "truncated");
        let wide = Picture { width: 16_385, height: 1, channels: 1, data: vec![0; 16_385] };
        assert_eq!(code(&encode_png(&wide).expect("a valid picture")), "too_large");
        for wrong in [
            Picture { channels: 2, ..gradient(2, 2, 1) },
            Picture { width: 3, ..gradient(2, 2, 1) },
            gradient(0, 0, 1),
        ] {
            assert_eq!(encode_png(&wrong).expect_err("no picture").code, "bad_picture");
        }
        assert!(encode_png_u16(u32::MAX, u32::MAX, &[1]).is_err());
    }

    #[test]
    fn same_size_is_only_split() {
        let picture = Picture { width: 1, height: 1, channels: 3, data: vec![255, 51, 0] };
        assert_eq!(fit_rgb_f32(&picture, [1, 1], [9; 3]), [1.0, 0.2, 0.0]);
        let clear = Picture { width: 1, height: 1, channels: 4, data: vec![255, 255, 255, 0] };
        assert_eq!(fit_rgb_f32(&clear, [1, 1], [0, 51, 255]), [0.0, 0.2, 1.0]);
        let nothing = Picture { width: 0, height: 4, channels: 4, data: vec![] };
        assert_eq!(fit_rgb_f32(&nothing, [1, 1], [0, 51, 255]), [0.0, 0.2, 1.0]);
        assert!(fit_rgb_f32(&picture, [0, 0], [0; 3]).is_empty());
    }

    #[test]
    fn a_flat_picture_stays_flat_at_every_size() {
        let flat = Picture { width: 7, height: 5, channels: 1, data: vec![51; 35] };
        for size in [1, 2, 3, 5, 7, 8, 31] {
            let numbers = stretch_rgb_f32(&flat, [size; 2], [0; 3]);
            assert_eq!(numbers.len(), 3 * (size * size) as usize);
            assert!(numbers.iter().all(|number| (number - 0.2).abs() < 1e-6), "{size}");
        }
    }

    #[test]
    fn a_picture_keeps_its_proportions_and_is_centred() {
        let white = Picture { width: 4, height: 2, channels: 1, data: vec![255; 8] };
        let rows = fit_rgb_f32(&white, [4, 4], [0; 3]);
        let expected: Vec<f32> = [0.0, 1.0, 1.0, 0.0].into_iter().flat_map(|v| [v; 4]).collect();
        assert_eq!(rows[..16], expected);
        assert_eq!(rows[32..], expected);
        let columns = fit_rgb_f32(&white, [2, 5], [255, 0, 0]);
        assert_eq!(columns.len(), 30);
        assert_eq!(columns[10..20], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        for sides in [[1, 7], [7, 1], [3, 300]] {
            let thin = Picture { width: 300, height: 3, channels: 1, data: vec![9; 900] };
            assert_eq!(fit_rgb_f32(&thin, sides, [0; 3]).len(), 3 * (sides[0] * sides[1]) as usize);
        }
    }

    /// The definition, one output at a time and without planes or two passes.
    fn plain_resize(picture: &Picture, size: u32, channel: usize, x: u32, y: u32) -> f64 {
        let axis = |from: u32, output: u32| -> Vec<f64> {
            let scale = f64::from(from) / f64::from(size);
            let center = (f64::from(output) + 0.5) * scale;
            let weight = |i: u32| 1.0 - ((f64::from(i) + 0.5 - center) / scale.max(1.0)).abs();
            let weights: Vec<f64> = (0..from).map(|i| weight(i).max(0.0)).collect();
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|weight| weight / sum).collect()
        };
        let (columns, rows) = (axis(picture.width, x), axis(picture.height, y));
        let mut sum = 0.0;
        for (row, row_weight) in rows.iter().enumerate() {
            for (column, column_weight) in columns.iter().enumerate() {
                let pixel = row * picture.width as usize + column;
                let sample = picture.data[pixel * usize::from(picture.channels) + channel];
                sum += row_weight * column_weight * f64::from(sample) / 255.0;
            }
        }
        sum
    }

    #[test]
    fn resizing_matches_the_definition() {
        for (width, height, size) in [(9, 6, 4), (4, 11, 6), (3, 3, 8), (20, 20, 7)] {
            let picture = gradient(width, height, 3);
            let numbers = stretch_rgb_f32(&picture, [size; 2], [0; 3]);
            for (i, number) in numbers.iter().enumerate() {
                let (channel, pixel) = (i as u32 / (size * size), i as u32 % (size * size));
                let (x, y) = (pixel % size, pixel / size);
                let expected = plain_resize(&picture, size, channel as usize, x, y);
                assert!(
                    (f64::from(*number) - expected).abs() < 1e-5,
                    "{width} {height} {size} {i}"
                );
            }
        }
    }
}
