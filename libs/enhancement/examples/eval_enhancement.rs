//! Prints how the rules do on `eval/prompts.tsv`, by family and by language, and how long they take. With `--prompts` also
//! every prompt before and after.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

#[path = "../tests/evaluation/measure.rs"]
mod measure;

use std::time::{Duration, Instant};

use kinora_enhancement::Rules;

fn main() {
    let rules = Rules::embedded();
    let shows_prompts = std::env::args().any(|argument| argument == "--prompts");
    let mut by_family = measure::Table::default();
    let mut by_language = measure::Table::default();
    let cases = measure::cases();
    for case in &cases {
        let held = measure::measure(&rules, case);
        by_family.add(case.family.id(), held);
        by_family.add("all", held);
        by_language.add(case.language, held);
        if shows_prompts {
            let enhanced = rules
                .enhance(&case.draft())
                .expect("a draft that can be read");
            println!("{}\t{}\t{}", case.family.id(), enhanced.tokens, case.prompt);
            println!("\t\t{}", enhanced.prompt);
            println!("\t\t-{}", enhanced.negative_prompt);
            println!("\t\t{:?} {:?}", enhanced.used, enhanced.notes);
        }
    }
    println!(
        "{}\n\n{}",
        by_family.print("family"),
        by_language.print("language")
    );
    let mut times: Vec<Duration> = (0..20)
        .flat_map(|_| &cases)
        .map(|case| {
            let start = Instant::now();
            let enhanced = rules.enhance(&case.draft());
            let time = start.elapsed();
            assert!(enhanced.is_ok(), "{}", case.prompt);
            time
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "\n{} enhancements: p50 {:?}, p95 {:?}, p99 {:?}",
        times.len(),
        at(50),
        at(95),
        at(99)
    );
}
