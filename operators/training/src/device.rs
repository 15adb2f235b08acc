//! Chooses where to compute, at run time, and says what it chose and why.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, DeviceKind, DeviceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voxflow_contract::SetupFault;

/// What a pipeline may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// CUDA where it is built in and there is a driver, else a GPU by wgpu, else the CPU.
    #[default]
    Auto,
    /// The CPU, in Rust: bit-identical for any number of threads.
    Cpu,
    /// Any adapter that wgpu finds, a software one too.
    Wgpu,
    /// A GPU by Vulkan and SPIR-V; needs a build with feature `vulkan`.
    Vulkan,
    /// An NVIDIA GPU by CUDA; needs a build with feature `cuda`, a driver, NVRTC and
    /// CUDA's headers below `CUDA_PATH`.
    Cuda,
}

/// A device, and how it came to be chosen.
#[derive(Debug, Clone)]
pub struct ChosenDevice {
    /// The device, without autodiff.
    pub device: Device,
    /// `cpu`, `wgpu`, `vulkan` or `cuda`.
    pub name: &'static str,
    /// A sentence for a person.
    pub reason: String,
}

impl ChosenDevice {
    /// The device and others of its kind, `count` in all, each of which answers. The CPU counts as
    /// often as is asked: what several devices compute can be computed without them.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn several(&self, count: usize) -> Result<Vec<Device>, SetupFault> {
        if self.name == "cpu" || count <= 1 {
            return Ok(vec![self.device.clone(); count.max(1)]);
        }
        let found = match self.name {
            "cuda" => cuda_devices(),
            name => gpus(name),
        };
        if found.len() < count {
            let message = format!(
                "devices = {count}, and {} has {} of the kind it chose: set fewer",
                self.name,
                found.len()
            );
            return Err(SetupFault::new(message));
        }
        let answer = |device: Device| answering(self.name, || device);
        found.into_iter().take(count).map(answer).collect()
    }
}

/// The GPUs of wgpu that are of the best kind there is, by the backend of that name.
fn gpus(name: &str) -> Vec<Device> {
    let Some(best) = real_gpu() else { return Vec::new() };
    let of_kind = |index: usize| match best {
        DeviceKind::IntegratedGpu(_) => DeviceKind::IntegratedGpu(index),
        DeviceKind::VirtualGpu(_) => DeviceKind::VirtualGpu(index),
        _ => DeviceKind::DiscreteGpu(index),
    };
    let adapters = adapters();
    let kinds = (0..adapters.len()).map(of_kind);
    let found = kinds.filter(|kind| adapters.contains(&Device::wgpu(kind.clone())));
    found.map(|kind| by_backend(name, kind)).collect()
}

#[cfg(feature = "vulkan")]
fn by_backend(name: &str, kind: DeviceKind) -> Device {
    if name == "vulkan" { Device::vulkan(kind) } else { Device::wgpu(kind) }
}

#[cfg(not(feature = "vulkan"))]
fn by_backend(_name: &str, kind: DeviceKind) -> Device {
    Device::wgpu(kind)
}

/// Finds the device that was asked for. A fault of a driver while looking is caught where it is a
/// panic, and no driver is asked that is known to crash.
///
/// # Errors
/// When a device was asked for by name and is not there.
pub fn choose_device(choice: DeviceChoice) -> Result<ChosenDevice, SetupFault> {
    match choice {
        DeviceChoice::Auto => Ok(automatic()),
        DeviceChoice::Cpu => Ok(cpu("it was asked for")),
        DeviceChoice::Wgpu => wgpu_by_name(),
        DeviceChoice::Vulkan => vulkan(),
        DeviceChoice::Cuda => cuda(),
    }
}

fn automatic() -> ChosenDevice {
    let without_cuda = match cuda() {
        Ok(chosen) => return chosen,
        Err(fault) => fault.message,
    };
    match real_gpu() {
        Some(kind) => match answering("wgpu", || Device::wgpu(kind.clone())) {
            Ok(device) => chosen(device, "wgpu", &format!("{kind:?} answers")),
            Err(fault) => cpu(&format!("{without_cuda}; {}", fault.message)),
        },
        None => cpu(&format!("{without_cuda}; wgpu finds no GPU")),
    }
}

fn cpu(why: &str) -> ChosenDevice {
    chosen(Device::flex(), "cpu", why)
}

fn chosen(device: Device, name: &'static str, why: &str) -> ChosenDevice {
    ChosenDevice { device, name, reason: format!("computing on {name}: {why}") }
}

/// The best GPU of wgpu that is no software.
fn real_gpu() -> Option<DeviceKind> {
    let adapters = adapters();
    [DeviceKind::DiscreteGpu(0), DeviceKind::IntegratedGpu(0), DeviceKind::VirtualGpu(0)]
        .into_iter()
        .find(|kind| adapters.contains(&Device::wgpu(kind.clone())))
}

/// Every adapter that wgpu finds; none when looking fails.
fn adapters() -> Vec<Device> {
    quietly(|| Device::enumerate(DeviceType::Wgpu).into_vec()).unwrap_or_default()
}

fn wgpu_by_name() -> Result<ChosenDevice, SetupFault> {
    if let Some(kind) = real_gpu() {
        let device = answering("wgpu", || Device::wgpu(kind.clone()))?;
        return Ok(chosen(device, "wgpu", &format!("it was asked for; {kind:?} answers")));
    }
    if adapters().is_empty() {
        let message = "there is no adapter for wgpu: install a GPU driver with Vulkan, or \
                       mesa-vulkan-drivers for a software one, or set device = \"cpu\"";
        return Err(SetupFault::new(message));
    }
    if cfg!(feature = "vulkan") {
        let message = "wgpu finds only a software adapter, and Mesa's crashes on the SPIR-V that a \
                       build with feature `vulkan` gives it: build without, or set device = \"cpu\"";
        return Err(SetupFault::new(message));
    }
    let device = answering("wgpu", || Device::wgpu(DeviceKind::DefaultDevice))?;
    Ok(chosen(device, "wgpu", "it was asked for; the adapter is software"))
}

#[cfg(feature = "vulkan")]
fn vulkan() -> Result<ChosenDevice, SetupFault> {
    let Some(kind) = real_gpu() else {
        return Err(SetupFault::new("wgpu finds no GPU that speaks Vulkan; set device = \"cpu\""));
    };
    let device = answering("vulkan", || Device::vulkan(kind.clone()))?;
    Ok(chosen(device, "vulkan", &format!("it was asked for; {kind:?} answers")))
}

#[cfg(not(feature = "vulkan"))]
fn vulkan() -> Result<ChosenDevice, SetupFault> {
    Err(SetupFault::new("this voxflow is built without feature `vulkan`; set device = \"wgpu\""))
}

#[cfg(feature = "cuda")]
fn cuda_devices() -> Vec<Device> {
    quietly(|| Device::enumerate(DeviceType::Cuda).into_vec()).unwrap_or_default()
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> Vec<Device> {
    Vec::new()
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<ChosenDevice, SetupFault> {
    let devices = cuda_devices();
    if devices.is_empty() {
        return Err(SetupFault::new("CUDA finds no driver (libcuda) or no device"));
    }
    let device = answering("cuda", || Device::cuda(0))?;
    Ok(chosen(device, "cuda", &format!("{} CUDA device(s) answer", devices.len())))
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<ChosenDevice, SetupFault> {
    Err(SetupFault::new("this voxflow is built without feature `cuda`"))
}

/// Makes a device and lets it add two numbers: drivers are opened at first use, not before.
fn answering(name: &str, make: impl FnOnce() -> Device) -> Result<Device, SetupFault> {
    let answer = quietly(|| {
        let device = make();
        let sum = (burn::tensor::Tensor::<1>::from_floats([1.0, 2.0], &device) + 1.0).into_data();
        (device, sum.try_to_vec::<f32>().is_ok_and(|sum| sum == [2.0, 3.0]))
    });
    match answer {
        Some((device, true)) => Ok(device),
        Some((_, false)) => {
            Err(SetupFault::new(format!("{name} adds wrongly; set device = \"cpu\"")))
        }
        None => Err(SetupFault::new(format!("{name} is there but its driver fails"))),
    }
}

/// Runs `probe` and gives nothing when it panics, as some drivers' bindings do without a device.
fn quietly<T>(probe: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(probe)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there() {
        let chosen = choose_device(DeviceChoice::Cpu).expect("a CPU");
        assert_eq!(chosen.name, "cpu");
        assert_eq!(chosen.reason, "computing on cpu: it was asked for");
    }

    #[test]
    fn the_cpu_stands_in_for_several_and_a_gpu_does_not() {
        let cpu = choose_device(DeviceChoice::Cpu).expect("a CPU");
        assert_eq!(cpu.several(3).expect("three").len(), 3);
        let lonely = chosen(Device::flex(), "wgpu", "a test");
        let fault = lonely.several(1000).expect_err("a thousand");
        assert!(fault.message.starts_with("devices = 1000, and wgpu has "), "{fault}");
    }

    #[test]
    fn automatic_choice_never_takes_software() {
        let chosen = choose_device(DeviceChoice::Auto).expect("something");
        assert!(chosen.name != "wgpu" || real_gpu().is_some(), "{}", chosen.reason);
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_is_not_built_in_is_refused() {
        let fault = choose_device(DeviceChoice::Cuda).expect_err("not built in");
        assert!(fault.message.contains("without feature `cuda`"));
    }
}
