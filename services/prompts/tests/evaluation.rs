//! Moderation as a whole, words and classifier together, on texts that say things in other words than the lexicon has, and
//! on the held-out ones. `make eval-prompts` shows the table; the crate's own evaluation has categories and disguises.

#[path = "service/harness.rs"]
#[expect(dead_code, reason = "it serves other tests, too")]
mod harness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kinora_proto::prompts::v1 as pb;

use harness::{Person, TestPrompts};

const LANGUAGES: [&str; 10] = ["ar", "de", "en", "es", "fr", "hi", "ja", "pt", "ru", "zh"];

const SETS: [&str; 4] = ["hard", "paraphrased_heldout", "heldout", "everyday_heldout"];

/// What must hold: of the texts that are about something, how many are not simply allowed, and of the harmless ones, how many
/// are; measured, less a margin. The classifier knows English, so that it helps there with what is said in other words, and
/// hardly in other languages. `everyday_heldout` has nothing to stop.
const FLOORS: [(&str, &str, f64, f64); 6] = [
    ("hard", "en", 0.70, 0.75),
    ("hard", "all", 0.28, 0.92),
    ("paraphrased_heldout", "en", 0.50, 0.95),
    ("paraphrased_heldout", "all", 0.24, 0.95),
    ("heldout", "all", 0.97, 0.93),
    ("everyday_heldout", "all", 0.0, 0.98),
];

/// Right ones among all.
#[derive(Clone, Copy, Default)]
struct Count {
    right: u32,
    all: u32,
}

impl Count {
    fn add(&mut self, is_right: bool) {
        self.all += 1;
        self.right += u32::from(is_right);
    }

    fn rate(self) -> f64 {
        f64::from(self.right) / f64::from(self.all.max(1))
    }
}

/// By set and language: what was stopped of what should be, and what was allowed of what should be.
type Measured = BTreeMap<(&'static str, &'static str), (Count, Count)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floors_hold_with_the_classifier() {
    #[expect(
        clippy::disallowed_methods,
        reason = "scripts/env says where the model of the tests is"
    )]
    let folder = std::env::var_os("KINORA_MINILM");
    let folder = PathBuf::from(folder.expect("KINORA_MINILM names the model: see scripts/env"));
    let words = measure(None).await;
    let both = measure(Some(folder)).await;
    println!(
        "| set | language | texts | stopped, words alone | with classifier | harmless | allowed, words alone | with classifier |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (key, (stopped, allowed)) in &both {
        let (alone_stopped, alone_allowed) = words[key];
        println!(
            "| {} | {} | {} | {:.3} | {:.3} | {} | {:.3} | {:.3} |",
            key.0,
            key.1,
            stopped.all,
            alone_stopped.rate(),
            stopped.rate(),
            allowed.all,
            alone_allowed.rate(),
            allowed.rate()
        );
    }
    for (set, language, least_stopped, least_allowed) in FLOORS {
        let (stopped, allowed) = both[&(set, language)];
        assert!(
            stopped.rate() >= least_stopped,
            "{set} {language}: {:.3}",
            stopped.rate()
        );
        assert!(
            allowed.rate() >= least_allowed,
            "{set} {language}: {:.3}",
            allowed.rate()
        );
    }
}

async fn measure(classifier: Option<PathBuf>) -> Measured {
    let prompts = TestPrompts::start(|options, _| options.prompting.moderation.model = classifier);
    let prompts = prompts.await;
    let anna = prompts.person("anna");
    let mut measured = Measured::new();
    for set in SETS {
        for language in LANGUAGES {
            for (label, text) in lines(set, language) {
                let is_allowed = is_allowed(&anna, &text).await;
                for language in [language, "all"] {
                    let (stopped, allowed) = measured.entry((set, language)).or_default();
                    match label.as_str() {
                        "benign" => allowed.add(is_allowed),
                        _ => stopped.add(!is_allowed),
                    }
                }
            }
        }
    }
    prompts.stop().await;
    measured
}

async fn is_allowed(person: &Person, text: &str) -> bool {
    let moderation = person.moderate(text).await.expect("judges");
    moderation.verdict() == pb::Verdict::Allow
}

/// Labels and texts, without the line that names the columns.
fn lines(set: &str, language: &str) -> Vec<(String, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../libs/moderation/eval");
    let path = crates.join(set).join(format!("{language}.tsv"));
    let text = std::fs::read_to_string(&path).expect("the labelled set");
    let rows = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once('\t'));
    rows.map(|(label, text)| (label.to_owned(), text.to_owned()))
        .collect()
}
