//! libFuzzer makes inputs up for [`kinora_fuzz::query`].
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    match kinora_fuzz::query(data) {
        true => Corpus::Keep,
        false => Corpus::Reject,
    }
});
