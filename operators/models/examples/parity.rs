//! Answers a case that `benches/peers/torch_parity.py --full` asks: `parity ASKED ANSWERED`.

#[path = "../tests/parity/replay.rs"]
mod replay;
#[path = "../tests/parity/steps.rs"]
mod steps;

use std::error::Error;
use std::fs;

use safetensors::tensor::{Dtype, TensorView};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [asked, answered] = arguments.as_slice() else {
        return Err("usage: parity ASKED ANSWERED".into());
    };
    let case = replay::Case::read(&fs::read(asked)?);
    if case.stride != 1 {
        return Err("a fixture of the tests: it does not keep whole grids".into());
    }
    let tensors = case.replay().into_iter().map(|(name, data)| {
        let shape = data.shape().to_vec();
        let numbers = data.convert::<f32>().try_into_vec::<f32>().unwrap_or_default();
        let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
        (name, shape, bytes)
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    fs::write(answered, safetensors::serialize(views, None)?)?;
    Ok(())
}
