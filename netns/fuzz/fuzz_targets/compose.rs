//! See `netns_setup::fuzz::compose`.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if netns_setup::fuzz::compose(bytes) {
        Corpus::Keep
    } else {
        Corpus::Reject
    }
});
