//! The codec `r2n2` on any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| voxflow_fuzz::check("r2n2", bytes));
