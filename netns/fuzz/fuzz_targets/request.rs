//! See `netns_setup::fuzz::request`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = netns_setup::fuzz::request(bytes);
});
