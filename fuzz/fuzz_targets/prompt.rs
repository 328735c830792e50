//! libFuzzer makes inputs up for [`kinora_fuzz::prompt`].
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    match kinora_fuzz::prompt(data) {
        true => Corpus::Keep,
        false => Corpus::Reject,
    }
});
