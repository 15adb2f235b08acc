# What people type. `just check` is what CI runs.

# Everything CI checks, cheapest first
check:
    .ci/run

# All tests; a name runs only those that have it: `just test voxelize`
test *NAME:
    cargo test --release --workspace {{NAME}}

# Measure; BENCHMARKS.md says what and how
bench *NAME:
    cargo bench --workspace {{NAME}}

# Synthetic meshes for `just peers`, made by PYTHON in the folder OUT
peers-shapes PYTHON OUT *OPTIONS:
    {{PYTHON}} benches/peers/shapes.py {{OUT}} {{OPTIONS}}

# Kernels beside Open3D, VTK and trimesh; PYTHON has benches/peers/requirements.txt
peers PYTHON *FILES:
    cargo build --release -p voxflow-geometry --example time_kernels
    {{PYTHON}} benches/peers/compare.py --binary target/release/examples/time_kernels {{FILES}}

# Five million triangles at 1024^3 within 2 GiB, of all of the process; PYTHON needs numpy
large PYTHON OUT:
    cargo build --release -p voxflow-geometry --example time_kernels
    {{PYTHON}} benches/peers/shapes.py {{OUT}} --sizes 5M --shapes sphere --formats ply
    for fill in surface solid_parity solid_outside_flood solid_carve; do \
        target/release/examples/time_kernels --op voxelize_surface --fill $fill --resolution 1024 --repeats 1 \
            --most-mib 2048 {{OUT}}/sphere-5M.ply || exit 1; \
    done

# A folder of meshes to grids, pictures and Parquet, beside a Python script
peers-end-to-end PYTHON *FILES:
    cargo build --release
    {{PYTHON}} benches/peers/end_to_end.py --voxflow target/release/voxflow {{FILES}}

# The training step of the 3D-VAE-GAN beside PyTorch, on the CPU; PYTHON has torch, safetensors and numpy
peers-step PYTHON *OPTIONS:
    cargo build --release --workspace --example time_step
    {{PYTHON}} benches/peers/torch_step.py target/release/examples/time_step {{OPTIONS}}

# The same on an NVIDIA card: CUDA and Vulkan beside eager and compiled PyTorch
bench-gpu PYTHON *OPTIONS:
    cargo build --release -p voxflow-training --features cuda,vulkan --example time_step
    {{PYTHON}} benches/peers/torch_step.py target/release/examples/time_step --device cuda,vulkan --cube 32,64 --batch 32,128 --compile --apart {{OPTIONS}}

# From nothing to a trained and evaluated network
quickstart *OPTIONS:
    cargo run --release -- run pipelines/quickstart.toml {{OPTIONS}}

# That the CUDA backend builds; no CUDA is needed for that
cuda:
    cargo check --release --features cuda

# Every fuzz target for so many seconds; fuzz/run says what it needs
fuzz SECONDS="60":
    fuzz/run {{SECONDS}}

# Advisories (needs GitHub), licences, bans, sources
deny:
    cargo deny --locked check

# The manual of all crates
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --workspace
