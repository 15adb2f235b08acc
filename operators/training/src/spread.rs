//! Several devices of one machine: each has a share of the objects of a batch.
//!
//! Parameters live on the first device. For a pass every other device has a copy of them within the
//! graph of that pass, so that the gradients of all shares add up on the first device, where losses are
//! taken and parts move (as PyTorch's `DataParallel` does). Normalisation sees a share at a time, and the
//! first one moves the running statistics; with one device nothing is copied.

use std::ops::Range;

use burn::module::{ModuleMapper, Param, RunningState};
use burn::tensor::{Device, Tensor};

use crate::network::{Network, Part, Pass, PassNoise, Reconstructed, Seen};

/// A network whose passes for training are spread over devices.
pub(crate) struct Spread<'a, N> {
    pub(crate) network: &'a N,
    /// Where the parameters lie, with autodiff.
    pub(crate) first: &'a Device,
    /// The other devices, with autodiff.
    pub(crate) others: &'a [Device],
}

impl<N: Network> Spread<'_, N> {
    /// As [`Network::pass`].
    pub(crate) fn pass(&self, seen: Option<&Seen>, noise: &PassNoise) -> Pass {
        let objects = match seen {
            Some(seen) => seen.views.samples(),
            None => noise.prior.as_ref().map_or(0, |prior| prior.dims()[0]),
        };
        let parts = [Part::Encoder, Part::Generator];
        let passes = self.each(objects, &parts, |network, number, share, device| {
            let (seen, noise) = share_of(seen, noise, number, share, device);
            network.pass(seen.as_ref(), noise)
        });
        self.joined(passes)
    }

    /// As [`Network::judge`].
    pub(crate) fn judge(&self, grids: &Tensor<4>) -> Tensor<1> {
        self.of_grids(grids, &[Part::Discriminator], N::judge)
    }

    /// As [`Network::judge_only`].
    pub(crate) fn judge_only(&self, grids: &Tensor<4>) -> Tensor<1> {
        self.of_grids(grids, &[Part::Discriminator], N::judge_only)
    }

    /// As [`Network::imagine`].
    pub(crate) fn imagine(&self, codes: &Tensor<2>) -> Tensor<4> {
        let made = self.each(codes.dims()[0], &[Part::Generator], |network, _, share, device| {
            network.imagine(part_of(codes, share, device))
        });
        self.gathered(made.into_iter().map(|(_, logits)| logits).collect())
    }

    fn of_grids(
        &self,
        grids: &Tensor<4>,
        parts: &[Part],
        judge: impl Fn(&N, Tensor<4>) -> Tensor<1>,
    ) -> Tensor<1> {
        let verdicts = self.each(grids.dims()[0], parts, |network, _, share, device| {
            judge(network, part_of(grids, share, device))
        });
        self.gathered(verdicts.into_iter().map(|(_, verdict)| verdict).collect())
    }

    /// What `make` gives for each share of the objects, and how many it has; all devices are set to
    /// work before anything is asked back. `parts` are those that `make` uses.
    fn each<T>(
        &self,
        objects: usize,
        parts: &[Part],
        make: impl Fn(&N, usize, Range<usize>, &Device) -> T,
    ) -> Vec<(usize, T)> {
        let devices = std::iter::once(self.first).chain(self.others);
        let shares = shares(objects, 1 + self.others.len());
        let of_share = |(number, (share, device)): (usize, (Range<usize>, &Device))| {
            let count = share.len();
            let made = match number {
                0 => make(self.network, number, share, device),
                _ => make(&copy(self.network, parts, device), number, share, device),
            };
            (count, made)
        };
        shares.into_iter().zip(devices).enumerate().map(of_share).collect()
    }

    /// Passes of shares as the pass of the whole; the divergence is a mean over objects.
    fn joined(&self, mut passes: Vec<(usize, Pass)>) -> Pass {
        if passes.len() == 1 {
            return passes.remove(0).1;
        }
        let objects: usize = passes.iter().map(|(count, _)| count).sum();
        let (mut logits, mut codes, mut imagined) = (Vec::new(), Vec::new(), Vec::new());
        let mut divergence: Option<Tensor<1>> = None;
        for (count, pass) in passes {
            imagined.extend(pass.imagined);
            let Some(made) = pass.reconstructed else { continue };
            logits.push(made.logits);
            codes.push(made.codes);
            let weighed = made.divergence.to_device(self.first) * (count as f64 / objects as f64);
            divergence = Some(match divergence {
                Some(sum) => sum + weighed,
                None => weighed,
            });
        }
        let reconstructed = divergence.map(|divergence| Reconstructed {
            logits: self.gathered(logits),
            divergence,
            codes: self.gathered(codes),
        });
        let imagined = (!imagined.is_empty()).then(|| self.gathered(imagined));
        Pass { reconstructed, imagined }
    }

    /// Tensors of shares, one after the other, on the first device.
    fn gathered<const D: usize>(&self, mut shares: Vec<Tensor<D>>) -> Tensor<D> {
        if shares.len() == 1 {
            return shares.remove(0);
        }
        Tensor::cat(shares.into_iter().map(|share| share.to_device(self.first)).collect(), 0)
    }
}

/// `objects` in at most `most` runs, the first ones longer by one where it does not come out even.
/// None has a single object unless there is only one: a normalisation needs two.
pub(crate) fn shares(objects: usize, most: usize) -> Vec<Range<usize>> {
    let count = most.min(objects / 2).max(1);
    let begin = |i: usize| i * (objects / count) + i.min(objects % count);
    (0..count).map(|i| begin(i)..begin(i + 1)).collect()
}

/// What is seen of some of the objects, and their random numbers, on `device`. Dropout chooses
/// otherwise in each share.
pub(crate) fn share_of(
    seen: Option<&Seen>,
    noise: &PassNoise,
    number: usize,
    share: Range<usize>,
    device: &Device,
) -> (Option<Seen>, PassNoise) {
    let split = seen.map(|seen| seen.views.part(share.clone()));
    let rows = split.as_ref().map_or(0..0, |(_, rows)| rows.clone());
    let of_rows = |all: &Tensor<2>| part_of(all, rows.clone(), device);
    let noise = PassNoise {
        epsilon: noise.epsilon.as_ref().map(of_rows),
        prior: noise.prior.as_ref().map(|prior| part_of(prior, share, device)),
        dropout: noise.dropout.wrapping_add(number as u64),
    };
    let seen = seen.zip(split).map(|(seen, (views, rows))| Seen {
        images: part_of(&seen.images, rows.clone(), device),
        poses: seen.poses.as_ref().map(of_rows),
        views,
    });
    (seen, noise)
}

/// Some rows, on `device`; all of them as they are where they lie there.
fn part_of<const D: usize>(all: &Tensor<D>, rows: Range<usize>, device: &Device) -> Tensor<D> {
    let is_whole = rows == (0..all.dims()[0]);
    let part = if is_whole { all.clone() } else { all.clone().narrow(0, rows.start, rows.len()) };
    if part.device() == *device { part } else { part.to_device(device) }
}

/// A copy of some parts of a network on another device, through which gradients flow back; the other
/// parts stay where they are. Running statistics of the copy are its own.
fn copy<N: Network>(network: &N, parts: &[Part], device: &Device) -> N {
    let mut copy = network.clone().map(&mut Carry { parts, device, depth: 0, is_carried: false });
    for norm in copy.normalisations() {
        norm.running_mean = RunningState::new(norm.running_mean.value());
        norm.running_var = RunningState::new(norm.running_var.value());
    }
    copy
}

/// Carries the parameters of some parts to another device.
struct Carry<'a> {
    parts: &'a [Part],
    device: &'a Device,
    depth: usize,
    is_carried: bool,
}

impl ModuleMapper for Carry<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        if self.depth == 0 {
            self.is_carried = self.parts.iter().any(|part| part.name() == name);
        }
        self.depth += 1;
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.depth -= 1;
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // What needs no gradient are running statistics, which a network and its clone share.
        if !self.is_carried || !param.val().is_require_grad() {
            return param;
        }
        let (id, value, mapper) = param.consume();
        Param::from_mapped_value(id, value.to_device(self.device), mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, ModuleVisitor};
    use burn::tensor::{Gradients, TensorData};
    use voxflow_models::{MultiViewVaeGan, MultiViewVaeGanConfig, VaeGanConfig, Views};

    use super::*;

    #[test]
    fn shares_are_even_and_none_has_a_single_object() {
        assert_eq!(shares(8, 2), [0..4, 4..8]);
        assert_eq!(shares(7, 3), [0..3, 3..5, 5..7]);
        assert_eq!(shares(5, 4), [0..3, 3..5]);
        let whole = |objects, most| shares(objects, most) == std::slice::from_ref(&(0..objects));
        assert!(whole(5, 1) && whole(1, 2) && whole(3, 2));
    }

    /// A fixed wave that starts anew in its middle.
    fn twice(sizes: &[usize], device: &Device) -> TensorData {
        let half = sizes.iter().product::<usize>() / 2;
        let wave = (0..half).map(|i| 0.5 + 0.4 * (i as f32 * 0.7).sin());
        let numbers: Vec<f32> = wave.clone().chain(wave).collect();
        assert!(device.is_autodiff());
        TensorData::new(numbers, sizes.to_vec())
    }

    /// All gradients of a network's parameters, in its order.
    struct Collected<'a>(&'a Gradients, Vec<Vec<f32>>);

    impl ModuleVisitor for Collected<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.0) {
                self.1.push(gradient.into_data().try_into_vec().expect("numbers"));
            }
        }
    }

    fn losses_and_gradients(
        network: &MultiViewVaeGan,
        device: &Device,
        others: &[Device],
    ) -> (f32, Vec<Vec<f32>>) {
        let spread = Spread { network, first: device, others };
        let tensor = |sizes: [usize; 2]| Tensor::<2>::from_data(twice(&sizes, device), device);
        let seen = Seen {
            images: Tensor::from_data(twice(&[8, 3, 16, 16], device), device),
            poses: None,
            views: Views::new(vec![1, 3, 1, 3]).expect("views"),
        };
        let (epsilon, prior) = (Some(tensor([8, 4])), Some(tensor([4, 4])));
        let pass = spread.pass(Some(&seen), &PassNoise { epsilon, prior, dropout: 0 });
        let made = pass.reconstructed.expect("it sees");
        assert_eq!((made.logits.dims(), made.codes.dims()), ([4, 16, 16, 16], [4, 4]));
        let fakes = network.occupancies(pass.imagined.expect("it imagines"));
        let again = spread.imagine(&made.codes);
        let verdicts = spread.judge(&fakes).mean() + spread.judge_only(&fakes).mean() * 0.5;
        let loss = made.logits.square().mean() + made.divergence + verdicts + again.square().mean();
        let mut found = Collected(&loss.backward(), Vec::new());
        network.visit(&mut found);
        let gradients = std::mem::take(&mut found.1);
        (loss.into_scalar::<f32>(), gradients)
    }

    /// Both halves of the batch are the same, so that both shares are normalised as the whole is.
    #[test]
    fn two_devices_give_the_gradients_of_one() {
        let device = Device::flex().autodiff();
        let config = VaeGanConfig::new(16, 16, 4, vec![4, 4, 4, 4, 4], 4, 4);
        let mut state = 0.5;
        let mut unit = || {
            state = (state * 9.7 + 0.131_f64).fract();
            state
        };
        let network = MultiViewVaeGanConfig::new(config).init(&device, &mut unit);
        let (loss, gradients) = losses_and_gradients(&network, &device, &[]);
        let others = std::slice::from_ref(&device);
        let (loss_of_two, gradients_of_two) = losses_and_gradients(&network, &device, others);
        assert!((loss - loss_of_two).abs() < 1e-5 * loss.abs(), "{loss} {loss_of_two}");
        assert_eq!(gradients.len(), gradients_of_two.len());
        assert!(gradients.len() > 20, "{}", gradients.len());
        for (one, two) in gradients.iter().zip(&gradients_of_two) {
            let largest = one.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            for (a, b) in one.iter().zip(two) {
                assert!((a - b).abs() <= 1e-4 * largest.max(1e-3), "{a} {b}");
            }
        }
    }
}
