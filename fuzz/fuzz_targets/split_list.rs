//! The codec `split_list` on any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| voxflow_fuzz::check("split_list", bytes));
