//! Draws the weights of a network on the host, so that every device starts from the same numbers.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

/// Replaces the weights of all convolutions and linear layers of `module` by numbers drawn from
/// `unit`, which gives uniform numbers in [0, 1).
///
/// Weight and bias of a layer are uniform in plus or minus `1 / sqrt(fan_in)`, PyTorch's default
/// and burn's too (He et al. 2015 with gain `1 / sqrt(3)`); the fan-in of a transposed convolution is
/// its output channels times its kernel, in both. Normalisation layers keep scale 1 and offset 0.
/// The order of the draws is the order of the module's fields.
pub fn draw_weights<M: Module>(module: M, unit: &mut dyn FnMut() -> f64) -> M {
    module.map(&mut HostDraw { path: Vec::new(), fan_in: 1, unit })
}

/// A parameter moved by `offsets`, one number or one an element; gradients are kept where the device
/// keeps any.
pub(crate) fn move_by(
    parameter: Param<Tensor<1>>,
    offsets: &[f64],
    device: &Device,
) -> Param<Tensor<1>> {
    let offsets: Vec<f32> = offsets.iter().map(|&offset| offset as f32).collect();
    let count = offsets.len();
    parameter.map(|values| {
        let offsets = Tensor::from_data(TensorData::new(offsets, [count]), device);
        let moved = values.detach() + offsets;
        if device.is_autodiff() { moved.detach().require_grad() } else { moved }
    })
}

/// Makes the weights of a layer that [`draw_weights`] drew those that a ReLU wants after it: uniform
/// with variance `2 / fan_in`, and no bias (He et al. 2015), so that what passes the layer keeps its
/// size.
pub(crate) fn for_relu<M: Module>(layer: M) -> M {
    layer.map(&mut ForRelu { is_bias: false })
}

struct ForRelu {
    is_bias: bool,
}

impl ModuleMapper for ForRelu {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.is_bias = name == "bias";
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // The draw has variance 1 / (3 fan_in).
        let factor = if self.is_bias { 0.0 } else { 6.0_f64.sqrt() };
        param.map(|values| {
            let is_learnt = values.is_require_grad();
            let scaled = values.detach() * factor;
            if is_learnt { scaled.detach().require_grad() } else { scaled }
        })
    }
}

struct HostDraw<'a> {
    path: Vec<(String, String)>,
    /// Of the weight seen last: a bias follows its weight.
    fan_in: usize,
    unit: &'a mut dyn FnMut() -> f64,
}

impl HostDraw<'_> {
    /// Whether the parameter at hand belongs to a layer whose weights are drawn, and is its weight.
    fn role(&self) -> Option<Role> {
        let (_, layer) = self.path.iter().rev().find(|(_, kind)| kind.starts_with("Struct:"))?;
        let (name, _) = self.path.last()?;
        match (layer.as_str(), name.as_str()) {
            ("Struct:Linear", "weight") => Some(Role::LinearWeight),
            ("Struct:Conv2d" | "Struct:Conv3d" | "Struct:ConvTranspose3d", "weight") => {
                Some(Role::ConvolutionWeight)
            }
            (_, "bias") => Some(Role::Bias),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Role {
    LinearWeight,
    ConvolutionWeight,
    Bias,
}

impl ModuleMapper for HostDraw<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push((name.to_owned(), container_type.to_owned()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(role) = self.role() else { return param };
        let shape = param.lazy_shape();
        let sizes: [usize; D] = shape.dims();
        match role {
            Role::LinearWeight => self.fan_in = sizes[0],
            Role::ConvolutionWeight => self.fan_in = sizes[1..].iter().product(),
            Role::Bias => {}
        }
        let bound = 1.0 / (self.fan_in as f64).sqrt();
        let count = sizes.iter().product();
        let values: Vec<f32> =
            (0..count).map(|_| (bound * (2.0 * (self.unit)() - 1.0)) as f32).collect();
        let device = param.lazy_device();
        Param::initialized(param.id, leaf(TensorData::new(values, sizes), &device))
    }
}

/// A tensor that gradients are kept for, where the device keeps any.
pub(crate) fn leaf<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    let tensor = Tensor::from_data(data, device);
    if device.is_autodiff() { tensor.require_grad() } else { tensor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::nn::conv::Conv2dConfig;

    #[test]
    fn weights_fill_the_range_that_the_fan_in_gives() {
        let mut state = 0.0;
        let mut unit = || {
            state = (state + 0.618_033_988_75) % 1.0;
            state
        };
        let device = Device::flex();
        let conv = draw_weights(Conv2dConfig::new([4, 3], [5, 5]).init(&device), &mut unit);
        let largest = conv.weight.val().abs().max().into_scalar::<f32>();
        assert!(largest <= 0.1 && largest > 0.099, "{largest}");
        let linear = draw_weights(LinearConfig::new(25, 400).init(&device), &mut unit);
        let bias = linear.bias.expect("a bias").val().abs().max().into_scalar::<f32>();
        assert!(bias <= 0.2 && bias > 0.19, "{bias}");
    }

    #[test]
    fn a_relu_gets_weights_that_keep_what_passes_at_its_size() {
        let mut state = 0.0;
        let mut unit = || {
            state = (state + 0.618_033_988_75) % 1.0;
            state
        };
        let device = Device::flex().autodiff();
        let linear = draw_weights(LinearConfig::new(300, 400).init(&device), &mut unit);
        let linear = for_relu(linear);
        let variance = linear.weight.val().square().mean().into_scalar::<f32>();
        assert!((variance * 300.0 - 2.0).abs() < 0.02, "{variance}");
        assert!(linear.weight.val().is_require_grad());
        let bias = linear.bias.expect("a bias").val();
        assert_eq!(bias.abs().max().into_scalar::<f32>(), 0.0);
    }
}
