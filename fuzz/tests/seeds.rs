//! What the fuzzer starts from holds, and so does what it once broke.

use std::fs;
use std::path::Path;

#[track_caller]
fn check(target: &str, holds: impl Fn(&[u8]) -> bool) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut count = 0;
    for seed in fs::read_dir(seeds.join(target)).expect("seeds") {
        let seed = seed.expect("a seed").path();
        let is_of_interest = holds(&fs::read(&seed).expect("a seed"));
        assert!(is_of_interest, "{} reaches nothing", seed.display());
        count += 1;
    }
    assert!(count > 0, "{target} has seeds");
}

#[test]
fn paths_hold() {
    check("path", kinora_fuzz::path);
}

#[test]
fn queries_hold() {
    check("query", kinora_fuzz::query);
}

#[test]
fn bodies_hold() {
    check("json", kinora_fuzz::json);
}

#[test]
fn forms_hold() {
    check("multipart", kinora_fuzz::multipart);
}

#[test]
fn texts_hold() {
    check("moderation", kinora_fuzz::moderation);
}

#[test]
fn prompts_hold() {
    check("prompt", kinora_fuzz::prompt);
}
