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

# From nothing to a trained and evaluated network
quickstart *OPTIONS:
    cargo run --release -- run pipelines/quickstart.toml {{OPTIONS}}

# That the CUDA backend builds; no CUDA is needed for that
cuda:
    cargo check --release --features cuda

# Advisories (needs GitHub), licences, bans, sources
deny:
    cargo deny --locked check

# The manual of all crates
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --workspace
