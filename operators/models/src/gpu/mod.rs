//! Kernels for GPUs, in CubeCL: one source for WGSL, SPIR-V and CUDA.
//!
//! Every sum is added up in an order that depends on sizes alone, so that the same device gives the same
//! bits again.

use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

pub(crate) mod adam;
pub(crate) mod batch_norm;
pub(crate) mod convolution;
pub(crate) mod product;

/// Units that work together.
const UNITS: u32 = 256;
/// Most cubes in one direction that a power of two counts and every device has.
const MOST_CUBES: u32 = 1 << 15;

/// A tensor on the same device, with whatever its memory held.
fn empty(like: &CubeTensor, shape: Vec<usize>) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, shape.into(), like.dtype)
}

fn reshaped(tensor: CubeTensor, shape: Vec<usize>) -> CubeTensor {
    CubeBackend::float_reshape(tensor, shape.into())
}

/// A unit for each of `count` numbers, and some more: along x, then along y.
fn units(count: usize) -> (CubeCount, CubeDim) {
    let cubes = count.div_ceil(UNITS as usize) as u32;
    let across = cubes.clamp(1, MOST_CUBES);
    (CubeCount::Static(across, cubes.div_ceil(across), 1), CubeDim::new_1d(UNITS))
}

/// The number of a unit of [`units`].
#[cube]
fn unit() -> usize {
    ((CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X) * CUBE_DIM_X + UNIT_POS_X) as usize
}

#[cfg(test)]
pub(crate) mod testing {
    use burn::tensor::{Device, DeviceKind, DeviceType};

    /// A device for these kernels, if this machine has one and need not have one.
    pub(crate) fn device() -> Option<Device> {
        let found = std::panic::catch_unwind(|| Device::enumerate(DeviceType::Wgpu).into_vec());
        if found.is_ok_and(|found| !found.is_empty()) {
            return Some(Device::wgpu(DeviceKind::DefaultDevice));
        }
        #[expect(clippy::disallowed_methods, reason = "a switch for machines that must have one")]
        let required = std::env::var("VOXFLOW_REQUIRE_WGPU").is_ok_and(|value| value == "1");
        assert!(!required, "VOXFLOW_REQUIRE_WGPU=1 and there is no adapter for wgpu");
        eprintln!("SKIPPED, NOT TESTED: there is no adapter for wgpu");
        None
    }
}
