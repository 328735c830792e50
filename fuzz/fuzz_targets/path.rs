//! libFuzzer makes inputs up for [`kinora_fuzz::path`].
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    match kinora_fuzz::path(data) {
        true => Corpus::Keep,
        false => Corpus::Reject,
    }
});
