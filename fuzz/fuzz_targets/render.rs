//! The rasteriser on random triangles.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| voxflow_fuzz::soup::render(bytes));
