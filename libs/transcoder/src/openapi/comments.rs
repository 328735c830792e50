//! What the contracts say beside their declarations.

use std::collections::{BTreeMap, HashMap};

use kinora_mesh::error::Kind;
use prost_reflect::DescriptorPool;

/// The codes that comments name, as services answer with them.
const CODES: [(&str, Kind); 10] = [
    ("ABORTED", Kind::Aborted),
    ("ALREADY_EXISTS", Kind::AlreadyExists),
    ("DEADLINE_EXCEEDED", Kind::DeadlineExceeded),
    ("FAILED_PRECONDITION", Kind::FailedPrecondition),
    ("INVALID_ARGUMENT", Kind::InvalidArgument),
    ("NOT_FOUND", Kind::NotFound),
    ("PERMISSION_DENIED", Kind::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Kind::ResourceExhausted),
    ("UNAUTHENTICATED", Kind::Unauthenticated),
    ("UNAVAILABLE", Kind::Unavailable),
];

/// The comments of all files, by where they stand.
#[derive(Debug, Default)]
pub(super) struct Comments {
    by_place: HashMap<(String, Vec<i32>), String>,
}

impl Comments {
    /// Reads those that stand before a declaration.
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let mut by_place = HashMap::new();
        for file in pool.files() {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            let locations = info.map_or(&[][..], |info| info.location.as_slice());
            for location in locations {
                let text = unwrapped(location.leading_comments());
                if !text.is_empty() {
                    let place = (file.name().to_owned(), location.path.clone());
                    by_place.insert(place, text);
                }
            }
        }
        Self { by_place }
    }

    /// The comment of what is declared there.
    pub(super) fn get(&self, file: &str, path: &[i32]) -> Option<&str> {
        let place = (file.to_owned(), path.to_vec());
        self.by_place.get(&place).map(String::as_str)
    }
}

/// A line a paragraph: comments are broken where the file's line ends, which says nothing.
fn unwrapped(comment: &str) -> String {
    let mut text = String::new();
    for line in comment.lines().map(str::trim) {
        if line.is_empty() {
            text.truncate(text.trim_end().len());
            text.push_str("\n\n");
        } else {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push(' ');
            }
            text.push_str(line);
        }
    }
    text.trim().to_owned()
}

/// The first sentence without its full stop; None when it tells of an error.
pub(super) fn first_sentence(comment: &str) -> Option<&str> {
    let paragraph = comment.split("\n\n").next().unwrap_or_default();
    let ends = paragraph.match_indices(". ").map(|(at, _)| at);
    let mut ends = ends.filter(|at| {
        let next = paragraph[at + 2..].chars().next();
        next.is_some_and(|c| c.is_uppercase() || c == '`')
    });
    let sentence = ends.next().map_or(paragraph, |at| &paragraph[..at]);
    let is_error = CODES.iter().any(|(code, _)| sentence.contains(code));
    let sentence = sentence.trim_end_matches('.');
    (!is_error && !sentence.is_empty()).then_some(sentence)
}

/// What stands after `for example`, in quotes.
pub(super) fn example(comment: &str) -> Option<&str> {
    let (_, rest) = comment.split_once("or example \"")?;
    rest.split_once('"').map(|(example, _)| example)
}

/// The errors that a method's comment names: their HTTP status, and the reasons given for it.
pub(super) fn errors(comment: &str) -> BTreeMap<u16, Vec<&str>> {
    let mut errors: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for clause in comment.split("; ").flat_map(|part| part.split(". ")) {
        let mut status = None;
        for word in clause.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if let Some((_, kind)) = CODES.iter().find(|(code, _)| *code == word) {
                status = Some(kind.http());
                errors.entry(kind.http()).or_default();
            } else if let Some(status) = status.filter(|_| is_reason(word)) {
                let reasons = errors.entry(status).or_default();
                if !reasons.contains(&word) {
                    reasons.push(word);
                }
            }
        }
    }
    errors
}

/// Words such as `NOT_READY` and `THROTTLED`, not `JSON`.
fn is_reason(word: &str) -> bool {
    let is_upper = word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    is_upper && word.len() > 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_paragraph_are_joined() {
        let text = " One line\n and its end.\n\n Another\n one.\n";
        assert_eq!(unwrapped(text), "One line and its end.\n\nAnother one.");
    }

    #[test]
    fn a_summary_is_the_first_sentence_unless_that_is_an_error() {
        let check = |comment, expected| assert_eq!(first_sentence(comment), expected, "{comment}");
        check("Reads one. Or not.", Some("Reads one"));
        check(
            "Compares 0.5 with it, e.g. this",
            Some("Compares 0.5 with it, e.g. this"),
        );
        check("Reads it.\n\nThen more.", Some("Reads it"));
        check("NOT_FOUND for an unknown id. More.", None);
    }

    #[test]
    fn errors_are_found_with_their_reasons() {
        let comment = "Makes it. INVALID_ARGUMENT with reason CAP_INVALID; NOT_FOUND otherwise. JSON it is. \
            RESOURCE_EXHAUSTED with reason TOO_MANY beyond 3, and THROTTLED beyond 5.";
        let expected = BTreeMap::from([
            (400, vec!["CAP_INVALID"]),
            (404, vec![]),
            (429, vec!["TOO_MANY", "THROTTLED"]),
        ]);
        assert_eq!(errors(comment), expected);
    }

    #[test]
    fn examples_stand_in_quotes() {
        assert_eq!(example("A size, for example \"8x4\"."), Some("8x4"));
        assert_eq!(example("A size."), None);
    }
}
