//! Times the mesh readers: `time_decode FILE...` prints one JSON line a file.
//!
//! `least_s` is the least time of several runs on one core, reading from memory.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use voxflow_formats::{MeshFormat, decode_mesh};

/// Each file is read at least so often, and for at least so long.
const RUNS: usize = 5;
const SECONDS: f64 = 0.3;

fn main() -> Result<(), String> {
    for path in std::env::args().skip(1) {
        let extension = Path::new(&path).extension().unwrap_or_default().to_string_lossy();
        let format = MeshFormat::from_extension(&extension);
        let format = format.ok_or_else(|| format!("no mesh format: {path}"))?;
        let bytes = std::fs::read(&path).map_err(|error| format!("{error}: {path}"))?;
        let (mut times, mut triangles) = (Vec::new(), 0);
        while times.len() < RUNS || times.iter().sum::<f64>() < SECONDS {
            let start = Instant::now();
            let decoded = black_box(decode_mesh(format, black_box(&bytes)));
            times.push(start.elapsed().as_secs_f64());
            triangles = decoded.map_err(|error| format!("{error}: {path}"))?.mesh.triangles.len();
        }
        let least = times.into_iter().fold(f64::INFINITY, f64::min);
        let (len, megabytes) = (bytes.len(), bytes.len() as f64 / 1e6);
        println!(
            "{{\"file\": {path:?}, \"op\": \"decode\", \"bytes\": {len}, \"triangles\": {triangles}, \
             \"least_s\": {least:.6}, \"mb_per_s\": {:.0}}}",
            megabytes / least
        );
    }
    Ok(())
}
