//! What was expected beside what was found.

use std::path::PathBuf;

use kinora_inference::manifest::Weights;
use kinora_models::wan::pipeline::Surroundings;
use serde::Serialize;

use crate::exit::Failure;
use crate::output;

/// Characters of a digest that a table shows.
const SHOWN_CHARS: usize = 16;

/// One thing that may be the same.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    /// Its name.
    pub(super) what: &'static str,
    /// What the manifest says, a SHA-256 in lower-case hex.
    pub(super) expected: String,
    /// What came out; none when it could not be made.
    pub(super) found: Option<String>,
    /// Whether a difference makes another clip.
    #[serde(skip)]
    pub(super) counts: bool,
    /// None when it could not be made.
    same: Option<bool>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    /// Whether latents and frames are the same.
    pub(super) same: bool,
    comparisons: &'a [Comparison],
    warnings: &'a [String],
    /// Where the clip is, if it was to be kept.
    path: Option<PathBuf>,
}

impl Comparison {
    /// Something that decides whether the clip is the same.
    pub(super) fn of_clip(what: &'static str, expected: &str, found: &str) -> Self {
        Self {
            counts: true,
            ..Self::of_rest(what, expected, Some(found))
        }
    }

    /// Something that is good to know.
    pub(super) fn of_rest(what: &'static str, expected: &str, found: Option<&str>) -> Self {
        Self {
            what,
            expected: expected.to_owned(),
            found: found.map(str::to_owned),
            counts: false,
            same: found.map(|found| found == expected),
        }
    }

    fn row(&self) -> [String; 4] {
        let shown = |digest: &str| digest.chars().take(SHOWN_CHARS).collect();
        let verdict = match self.same {
            Some(true) => "same",
            Some(false) => "differs",
            None => "not compared: no ffmpeg",
        };
        let found = self.found.as_deref().map_or_else(|| "-".to_owned(), shown);
        [
            self.what.to_owned(),
            shown(&self.expected),
            found,
            verdict.to_owned(),
        ]
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(
        warnings: &'a [String],
        comparisons: &'a [Comparison],
        path: Option<PathBuf>,
    ) -> Self {
        let mut decisive = comparisons.iter().filter(|comparison| comparison.counts);
        Self {
            same: decisive.all(|comparison| comparison.same == Some(true)),
            comparisons,
            warnings,
            path,
        }
    }
}

/// The comparisons for a person.
pub(super) fn table(comparisons: &[Comparison]) -> String {
    let rows: Vec<[String; 4]> = comparisons.iter().map(Comparison::row).collect();
    output::table(["WHAT", "EXPECTED", "FOUND", "RESULT"], &rows)
}

/// Why the bytes may differ although everything was repeated that can be.
pub(super) fn warnings(expected: &Surroundings, here: &Surroundings) -> Vec<String> {
    let facts = [
        ("version of kinora", &expected.engine, &here.engine),
        ("version of libtorch", &expected.libtorch, &here.libtorch),
        ("kind of device", &expected.device_class, &here.device_class),
    ];
    let differing = facts.iter().filter(|(_, expected, here)| expected != here);
    differing
        .map(|(what, expected, here)| {
            format!("the {what} was {expected} and is {here}: bytes may differ")
        })
        .collect()
}

/// Compares the files of a model with those of the manifest.
///
/// # Errors
///
/// [`Failure`] of usage that names every file that is missing, surplus or different.
pub(super) fn check_files(expected: &[Weights], found: &[(String, String)]) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for Weights { file, sha256 } in expected {
        match found.iter().find(|(name, _)| name == file) {
            Some((_, here)) if here == sha256 => {}
            Some((_, here)) => {
                wrong.push(format!("{file}: its SHA-256 is {here}, expected {sha256}"));
            }
            None => wrong.push(format!("{file}: is not there")),
        }
    }
    for (name, _) in found {
        if expected.iter().all(|weights| weights.file != *name) {
            wrong.push(format!("{name}: was not there when the clip was made"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let list = wrong.join("\n  ");
    Err(Failure::usage(format!(
        "the model is not the one that made the clip:\n  {list}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinora_models::LoadOptions;

    #[test]
    fn only_latents_and_frames_decide() {
        let same = |latents: &str, video: Option<&str>| {
            let comparisons = [
                Comparison::of_clip("latents", "a", latents),
                Comparison::of_rest("video", "b", video),
            ];
            Report::new(&[], &comparisons, None).same
        };
        assert!(same("a", Some("b")) && same("a", Some("c")) && same("a", None));
        assert!(!same("b", Some("b")));
    }

    #[test]
    fn a_table_says_same_differs_or_not_compared() {
        let long = "0123456789abcdef0123456789abcdef";
        let shown = table(&[
            Comparison::of_clip("latents", long, long),
            Comparison::of_clip("frames", "a", "b"),
            Comparison::of_rest("video", "c", None),
        ]);
        let lines: Vec<&str> = shown.lines().skip(1).collect();
        assert!(
            lines[0].contains("0123456789abcdef  0123456789abcdef  same"),
            "{shown}"
        );
        assert!(
            lines[1].ends_with("differs") && lines[2].contains("not compared"),
            "{shown}"
        );
    }

    #[test]
    fn files_are_named_that_are_missing_surplus_or_different() {
        let weights = |pairs: &[(&str, &str)]| -> Vec<Weights> {
            let pairs = pairs
                .iter()
                .map(|(file, sha256)| ((*file).to_owned(), (*sha256).to_owned()));
            pairs
                .map(|(file, sha256)| Weights { file, sha256 })
                .collect()
        };
        let found = [("a", "1"), ("b", "2"), ("d", "4")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let expected = weights(&[("a", "1"), ("b", "3"), ("c", "3")]);
        let error = check_files(&expected, &found)
            .unwrap_err()
            .error
            .to_string();
        assert!(!error.contains("a:"), "{error}");
        for word in ["b: its SHA-256 is 2", "c: is not there", "d: was not there"] {
            assert!(error.contains(word), "{error}");
        }
        check_files(&expected[..1], &found[..1]).unwrap();
    }

    #[test]
    fn another_kind_of_machine_is_worth_a_warning() {
        let here = Surroundings::of(&LoadOptions::default());
        assert!(warnings(&here, &here).is_empty());
        let there = Surroundings {
            device_class: "abacus".to_owned(),
            libtorch: "0.1".to_owned(),
            ..here.clone()
        };
        let found = warnings(&there, &here).join("\n");
        assert!(found.contains("abacus") && found.contains("0.1"), "{found}");
    }
}
