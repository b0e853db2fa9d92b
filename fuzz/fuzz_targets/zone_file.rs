#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pharos_fuzz::zone_file(data));
