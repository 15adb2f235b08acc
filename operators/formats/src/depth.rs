//! Depth maps in 16-bit PNGs.

use half::f16;

use crate::error::FormatError;
use crate::picture::decode_grey_u16;

/// Depths along the camera's axis; 0 where there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthMap {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height` depths, top row first, left pixel first.
    pub depths: Vec<f32>,
}

/// Reads a depth map of CO3D: each 16-bit sample is the pattern of an IEEE half float, which is
/// multiplied by `scale_adjustment`. What is not finite becomes 0.
///
/// # Errors
/// As [`decode_grey_u16`].
///
/// ```
/// use voxflow_formats::{depth::decode_half, picture::encode_png_u16};
///
/// let png = encode_png_u16(3, 1, &[0x3c00, 0x7e00, 0x4200])?; // 1, not a number, 3
/// assert_eq!(decode_half(&png, 0.5)?.depths, [0.5, 0.0, 1.5]);
/// # Ok::<(), voxflow_formats::FormatError>(())
/// ```
pub fn decode_half(bytes: &[u8], scale_adjustment: f32) -> Result<DepthMap, FormatError> {
    decode(bytes, |sample| f16::from_bits(sample).to_f32() * scale_adjustment)
}

/// Reads a depth map of whole numbers, each `unit` deep: 0.001 for millimetres, 10 / 65,535 for LSM.
///
/// # Errors
/// As [`decode_grey_u16`].
pub fn decode_whole(bytes: &[u8], unit: f64) -> Result<DepthMap, FormatError> {
    decode(bytes, |sample| (f64::from(sample) * unit) as f32)
}

fn decode(bytes: &[u8], depth: impl Fn(u16) -> f32) -> Result<DepthMap, FormatError> {
    let (width, height, samples) = decode_grey_u16(bytes)?;
    let finite = |depth: f32| if depth.is_finite() { depth } else { 0.0 };
    let depths = samples.into_iter().map(|sample| finite(depth(sample))).collect();
    Ok(DepthMap { width, height, depths })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::{Picture, encode_png, encode_png_u16};

    /// A half float as the standard defines it.
    fn plain_half(bits: u16) -> f64 {
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
        match exponent {
            0 => sign * fraction * 2.0_f64.powi(-14),
            31 => 0.0,
            _ => sign * (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
        }
    }

    #[test]
    fn every_half_float() {
        let samples: Vec<u16> = (0..=u16::MAX).collect();
        let png = encode_png_u16(256, 256, &samples).expect("a picture");
        let map = decode_half(&png, 2.0).expect("a depth map");
        assert_eq!((map.width, map.height), (256, 256));
        for (sample, depth) in samples.iter().zip(&map.depths) {
            assert_eq!(f64::from(*depth), 2.0 * plain_half(*sample), "{sample:#x}");
        }
    }

    #[test]
    fn whole_numbers() {
        let png = encode_png_u16(2, 1, &[0, 1500]).expect("a picture");
        assert_eq!(decode_whole(&png, 0.001).expect("a depth map").depths, [0.0, 1.5]);
        let unscaled = decode_whole(&png, f64::INFINITY).expect("a depth map");
        assert_eq!(unscaled.depths, [0.0, 0.0]);
    }

    #[test]
    fn pictures_of_8_bits_are_no_depth_maps() {
        let grey = Picture { width: 1, height: 1, channels: 1, data: vec![7] };
        let png = encode_png(&grey).expect("a picture");
        let error = decode_half(&png, 1.0).expect_err("eight bits");
        assert_eq!(error.code, "unsupported");
        assert_eq!(error.message, "the picture has samples of type L8, not 16-bit grey ones");
    }
}
