//! What a detector's file says about itself.

use std::collections::BTreeMap;

/// Most classes.
const MAX_CLASSES: usize = 1000;
/// Longest name of a class, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// The network halves its input five times.
const SIDE_MULTIPLE: i64 = 32;
/// Largest input.
const MAX_SIDE: i64 = 1280;

/// Classes and input size.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    /// In the order of the network's outputs.
    pub(super) labels: Vec<String>,
    /// Width and height of the input.
    pub(super) side: i64,
}

impl Metadata {
    /// Reads `names`, as Python prints a dictionary (`{0: 'CAT', 1: 'DOG'}`), and `imgsz` (`[320, 320]`).
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(super) fn read(properties: &BTreeMap<String, String>) -> Result<Self, String> {
        let property = |name: &str| {
            let found = properties.get(name);
            found.ok_or_else(|| format!("its metadata have no `{name}`"))
        };
        let names = property("names")?;
        let labels = labels(names).ok_or("its metadata's `names` are no list of classes")?;
        let size = property("imgsz")?;
        let side = side(size).ok_or_else(|| {
            format!(
                "its input size {size:.40} is no square of a multiple of {SIDE_MULTIPLE} up to {MAX_SIDE}"
            )
        })?;
        Ok(Self { labels, side })
    }
}

fn labels(text: &str) -> Option<Vec<String>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut labels: Vec<String> = Vec::new();
    for (expected, entry) in inside.split(',').enumerate().take(MAX_CLASSES + 1) {
        let (index, name) = entry.split_once(':')?;
        let name = name.trim();
        let quote = name.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let name = name.strip_prefix(quote)?.strip_suffix(quote)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
        let is_good = !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_name);
        if index.trim().parse() != Ok(expected) || !is_good || labels.iter().any(|it| it == name) {
            return None;
        }
        labels.push(name.to_owned());
    }
    (labels.len() <= MAX_CLASSES).then_some(labels)
}

fn side(text: &str) -> Option<i64> {
    let inside = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let (width, height) = inside.split_once(',')?;
    let number = |text: &str| text.trim().parse::<i64>().ok();
    let (width, height) = (number(width)?, number(height)?);
    let is_good = width == height && width % SIDE_MULTIPLE == 0 && (1..=MAX_SIDE).contains(&width);
    is_good.then_some(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &str, size: &str) -> Result<Metadata, String> {
        let properties = [("names", names), ("imgsz", size)];
        Metadata::read(
            &properties
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
        )
    }

    #[test]
    fn classes_and_size_are_read() {
        let found = read("{0: 'CAT', 1: \"A dog\"}", "[640, 640]").unwrap();
        assert_eq!(found.labels, ["CAT", "A dog"]);
        assert_eq!(found.side, 640);
    }

    #[test]
    fn what_is_no_list_of_classes_is_refused() {
        for names in [
            "",
            "{}",
            "[0]",
            "{0: CAT}",
            "{1: 'CAT'}",
            "{0: 'CAT', 2: 'DOG'}",
            "{0: 'CAT', 1: 'CAT'}",
            "{0: ''}",
            "{0: '}",
            "{0: 'a\u{202e}b'}",
        ] {
            let error = read(names, "[320, 320]").unwrap_err();
            assert!(error.contains("names"), "{names}: {error}");
        }
    }

    #[test]
    fn sizes_that_the_network_cannot_have_are_refused() {
        for size in [
            "",
            "320",
            "[320, 640]",
            "[0, 0]",
            "[-32, -32]",
            "[100, 100]",
            "[12800, 12800]",
        ] {
            let error = read("{0: 'CAT'}", size).unwrap_err();
            assert!(error.contains("input size"), "{size}: {error}");
        }
        let nothing = Metadata::read(&BTreeMap::new()).unwrap_err();
        assert_eq!(nothing, "its metadata have no `names`");
    }
}
