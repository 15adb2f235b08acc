//! A device to test kernels on.

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
