//! Times the training step of the 3D-VAE-GAN, one step for each line that it reads.
//!
//! `time_step [--device cpu|wgpu|vulkan|cuda] [--batch N] [--cube 32|64] [--image N] [--width SHARE]
//! [--views N] [--one-by-one]`
//!
//! Sizes are those of the literature; `--width 8` divides channels by 8. `--one-by-one` encodes the
//! views of an object one after the other instead of all at once. For each line of the input it makes
//! one step and prints one line of JSON: seconds of the process's CPUs and of the wall, of the whole
//! step and of its parts, the losses, and the peak of memory so far. `benches/peers/torch_step.py`
//! runs this by turns with PyTorch.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use rustix::time::{ClockId, clock_gettime};
use voxflow_models::{
    AdamRule, CombineViews, EncoderKind, MultiViewVaeGan, MultiViewVaeGanConfig, Noise,
    ReconstructionLoss, VaeGanConfig, ViewStatistics, Views, adam_step, binary_cross_entropy,
};
use voxflow_training::{DeviceChoice, choose_device};

fn main() -> Result<(), Box<dyn Error>> {
    let request = Request::parse(std::env::args().skip(1))?;
    let mut trainer = Trainer::new(&request)?;
    for line in std::io::stdin().lock().lines() {
        line?;
        println!("{}", trainer.timed_step());
    }
    Ok(())
}

/// What is asked for.
struct Request {
    device: String,
    batch: usize,
    cube: usize,
    image: usize,
    width: usize,
    views: usize,
    one_by_one: bool,
}

impl Request {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (device, one_by_one) = ("cpu".to_owned(), false);
        let mut request =
            Self { device, batch: 8, cube: 32, image: 224, width: 1, views: 1, one_by_one };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--device" => request.device = value()?,
                "--batch" => request.batch = value()?.parse()?,
                "--cube" => request.cube = value()?.parse()?,
                "--image" => request.image = value()?.parse()?,
                "--width" => request.width = value()?.parse()?,
                "--views" => request.views = value()?.parse()?,
                "--one-by-one" => request.one_by_one = true,
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(request)
    }

    fn config(&self) -> MultiViewVaeGanConfig {
        let less = |channels: usize| (channels / self.width.max(1)).max(1);
        let whole = VaeGanConfig::literature(self.cube, EncoderKind::Coded);
        let encoder = whole.encoder_channels.iter().map(|&channels| less(channels)).collect();
        let (grids, z_size) = (less(self.cube), less(whole.z_size));
        let single = VaeGanConfig::new(self.cube, self.image, z_size, encoder, grids, grids);
        MultiViewVaeGanConfig::new(single).with_combine(CombineViews::Mean).with_statistics(
            match self.one_by_one {
                true => ViewStatistics::PerView,
                false => ViewStatistics::Joint,
            },
        )
    }

    fn device(&self) -> Result<Device, Box<dyn Error>> {
        let choice = match self.device.as_str() {
            "cpu" => DeviceChoice::Cpu,
            "wgpu" => DeviceChoice::Wgpu,
            "vulkan" => DeviceChoice::Vulkan,
            "cuda" => DeviceChoice::Cuda,
            other => return Err(format!("no device is called {other}").into()),
        };
        Ok(choose_device(choice).map_err(|fault| fault.message)?.device)
    }
}

/// Model, optimisers and one batch.
struct Trainer {
    model: MultiViewVaeGan,
    optimizers: [Adam; 3],
    images: Tensor<4>,
    grids: Tensor<4>,
    views: Views,
    noise: Noise,
    clock: Clock,
}

impl Trainer {
    fn new(request: &Request) -> Result<Self, Box<dyn Error>> {
        let config = request.config();
        if let Err((field, message)) = config.check() {
            return Err(format!("{field} {message}").into());
        }
        let device = request.device()?.autodiff();
        let mut random = Random(1);
        let model = config.init(&device, &mut || random.unit());
        let views = Views::even(request.batch, request.views)?;
        let (cube, image, z_size) = (request.cube, request.image, config.single.z_size);
        let images = random.tensor([views.total(), 3, image, image], &device, |x| x);
        let occupied = |x| if x < 0.1 { 1.0 } else { 0.0 };
        let grids = random.tensor([request.batch, cube, cube, cube], &device, occupied);
        // As wide as a standard normal number is, which is all that matters here.
        let wide = |x| (x - 0.5) * 3.4;
        let epsilon = random.tensor([views.total(), z_size], &device, wide);
        let prior = Some(random.tensor([request.batch, z_size], &device, wide));
        let adam = |rate| Adam { rate, steps: 0, moments: BTreeMap::new() };
        Ok(Self {
            model,
            optimizers: [adam(1e-4), adam(2.5e-3), adam(1e-3)],
            noise: Noise { epsilon, prior },
            clock: Clock::new(device),
            images,
            grids,
            views,
        })
    }

    /// One step as JSON.
    fn timed_step(&mut self) -> String {
        self.clock.begin();
        let losses = self.step();
        let total = self.clock.total();
        let number = |(name, value): (&str, f64)| format!("\"{name}\": {value}");
        let pair = |(name, [cpu, wall]): &(&str, [f64; 2])| format!("\"{name}\": [{cpu}, {wall}]");
        let parts: Vec<String> = self.clock.parts.iter().map(pair).collect();
        format!(
            "{{{}, {}, \"parts\": {{{}}}, {}, \"peak_mib\": {}}}",
            number(("cpu_s", total[0])),
            number(("wall_s", total[1])),
            parts.join(", "),
            losses.map(number).join(", "),
            peak_mib(),
        )
    }

    /// As `operators/training/src/step.rs` has it, with the gate always open.
    fn step(&mut self) -> [(&'static str, f64); 4] {
        let generated = self.model.forward(self.images.clone(), &self.views, self.noise.clone());
        let divergence = self.model.divergence(&generated, &self.views);
        let fakes = sigmoid(generated.imagined.expect("there is a prior"));
        self.clock.lap("forward");

        let discriminator = &self.model.discriminator;
        let of_true = discriminator.forward(self.grids.clone());
        let of_fakes = discriminator.forward(fakes.clone().detach());
        let (ones, zeros) = (of_true.ones_like(), of_fakes.zeros_like());
        let loss_d = binary_cross_entropy(of_true, ones) + binary_cross_entropy(of_fakes, zeros);
        self.clock.lap("judge");
        let gradients = GradientsParams::from_grads(loss_d.backward(), discriminator);
        self.clock.lap("judge_back");
        self.model.discriminator = self.optimizers[2].step(discriminator.clone(), gradients);
        self.clock.lap("judge_adam");

        let reconstruction = ReconstructionLoss::Sse.forward(generated.reconstructed, &self.grids);
        let verdict = self.model.discriminator.clone().no_grad().forward(fakes);
        let ones = verdict.ones_like();
        let loss_g = binary_cross_entropy(verdict, ones);
        let total = reconstruction.clone() + divergence.clone() + loss_g.clone();
        self.clock.lap("fool");
        let mut gradients = total.backward();
        let of_encoder = GradientsParams::from_module(&mut gradients, &self.model.encoder);
        let of_generator = GradientsParams::from_module(&mut gradients, &self.model.generator);
        drop(gradients);
        self.clock.lap("back");
        let MultiViewVaeGan { encoder, generator, .. } = self.model.clone();
        self.model.encoder = self.optimizers[0].step(encoder, of_encoder);
        self.model.generator = self.optimizers[1].step(generator, of_generator);
        self.clock.lap("adam");
        let value = |loss: Tensor<1>| f64::from(loss.into_scalar::<f32>());
        let losses = [loss_d, loss_g, reconstruction, divergence].map(value);
        let [d, g, reconstruction, divergence] = losses;
        [("loss_d", d), ("loss_g", g), ("loss_recon", reconstruction), ("loss_kl", divergence)]
    }
}

/// Times of the process's CPUs and of the wall, of one part after the other.
struct Clock {
    device: Device,
    start: [f64; 2],
    last: [f64; 2],
    parts: Vec<(&'static str, [f64; 2])>,
    wall: Instant,
}

impl Clock {
    fn new(device: Device) -> Self {
        let zero = [0.0; 2];
        Self { device, start: zero, last: zero, parts: Vec::new(), wall: Instant::now() }
    }

    fn now(&self) -> [f64; 2] {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        [cpu.tv_sec as f64 + cpu.tv_nsec as f64 * 1e-9, self.wall.elapsed().as_secs_f64()]
    }

    fn begin(&mut self) {
        self.start = self.now();
        self.last = self.start;
        self.parts.clear();
    }

    /// Ends a part. A device that computes on its own is waited for.
    fn lap(&mut self, part: &'static str) {
        self.device.sync().expect("the device answers");
        let now = self.now();
        self.parts.push((part, [now[0] - self.last[0], now[1] - self.last[1]]));
        self.last = now;
    }

    fn total(&self) -> [f64; 2] {
        let now = self.now();
        [now[0] - self.start[0], now[1] - self.start[1]]
    }
}

/// Most memory that the process had so far; 0 where the system does not say.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Uniform numbers (Knuth's linear congruences).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn tensor<const D: usize>(
        &mut self,
        sizes: [usize; D],
        device: &Device,
        of: impl Fn(f64) -> f64,
    ) -> Tensor<D> {
        let count = sizes.iter().product();
        let numbers: Vec<f32> = (0..count).map(|_| of(self.unit()) as f32).collect();
        Tensor::from_data(TensorData::new(numbers, sizes), device)
    }
}

/// Adam with betas of 0.5, for one part.
struct Adam {
    rate: f64,
    steps: u64,
    moments: BTreeMap<String, [Tensor<1>; 2]>,
}

impl Adam {
    fn step<M: Module>(&mut self, module: M, gradients: GradientsParams) -> M {
        self.steps += 1;
        module.map(&mut Move { adam: self, gradients, path: Vec::new() })
    }
}

struct Move<'a> {
    adam: &'a mut Adam,
    gradients: GradientsParams,
    path: Vec<String>,
}

impl ModuleMapper for Move<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let (rate, steps) = (self.adam.rate, self.adam.steps);
        let rule = AdamRule { rate, betas: [0.5; 2], epsilon: 1e-8, steps };
        let (id, tensor, mapper) = param.consume();
        let tensor = tensor.inner();
        let (sizes, count) = (tensor.dims(), tensor.shape().num_elements());
        let gradient = gradient.reshape([count]);
        let path = self.path.join(".");
        let zeros = || [gradient.zeros_like(), gradient.zeros_like()];
        let moments = self.adam.moments.remove(&path).unwrap_or_else(zeros);
        let (moved, moments) = adam_step(tensor.reshape([count]), gradient, moments, rule);
        self.adam.moments.insert(path, moments);
        let moved = Tensor::from_inner(moved.reshape(sizes)).require_grad();
        Param::from_mapped_value(id, moved, mapper)
    }
}
