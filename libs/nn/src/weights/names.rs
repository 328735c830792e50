//! What layers call a tensor, and what a file calls it.
//!
//! Layers ask for the names of one layout. A file of another layout comes with a [`NameMap`], which is
//! data: a list of patterns, read from TOML.
//!
//! ```toml
//! marker = "blocks.0.self_attn.q.weight"      # a file that has this tensor is of this layout
//! prefixes = ["model.diffusion_model."]       # which all names of a file may start with
//! ignored = ["textual.*", "log_scale"]        # tensors of the file that no layer needs
//!
//! [names]                                     # what layers ask for = what the file has
//! "blocks.{n}.attn1.to_q.*" = "blocks.{n}.self_attn.q.*"
//! "up.{level}.resnets.{block}.gamma" = "up.{4*level+block}.gamma"
//! "layers.{n}.q_proj.*" = { stored = "transformer.{n}.to_qkv.*", part = 0, of = 3 }
//! "position.weight" = { stored = "pos_embedding", squeeze = true }
//! ```
//!
//! `{n}` stands for a number, `*` at the end for any rest. `part` of `of` is one of the equal slices
//! along the first axis of a joint tensor. With `squeeze`, axes of one place do not matter for the
//! shape. A name that no pattern fits is the same in both layouts.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Digits that an index in a name may have.
const MAX_DIGITS: usize = 6;

/// How the names of one layout follow from those that layers ask for.
#[derive(Clone, Debug, Default)]
pub struct NameMap {
    marker: Option<String>,
    prefixes: Vec<String>,
    ignored: Vec<Vec<Piece>>,
    rules: Vec<Rule>,
}

/// Where a tensor that a layer asks for is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Name in the file.
    pub(super) name: String,
    /// Index and number of slices, if it is a slice of a joint tensor.
    pub(super) part: Option<(u32, u32)>,
    /// Whether axes of one place do not matter.
    pub(super) squeeze: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapFile {
    marker: Option<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    ignored: Vec<String>,
    #[serde(default)]
    names: BTreeMap<String, Target>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Target {
    Name(String),
    Detailed {
        stored: String,
        part: Option<u32>,
        of: Option<u32>,
        #[serde(default)]
        squeeze: bool,
    },
}

#[derive(Clone, Debug)]
struct Rule {
    asked: Vec<Piece>,
    stored: Vec<Piece>,
    part: Option<(u32, u32)>,
    squeeze: bool,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    /// A sum of products; in what is asked for, one name alone.
    Number(Vec<Term>),
    Rest,
}

/// `factor` times the number called `name`, or `factor` alone.
#[derive(Clone, Debug)]
struct Term {
    factor: u64,
    name: Option<String>,
}

/// What a name had in the places of a pattern.
#[derive(Default)]
struct Captured<'a> {
    numbers: Vec<(&'a str, u64)>,
    rest: &'a str,
}

impl NameMap {
    /// Reads a map.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let file: MapFile = toml::from_str(text).map_err(|error| error.to_string())?;
        let ignored: Result<_, String> = file.ignored.iter().map(|text| pieces(text)).collect();
        let rules: Result<_, String> = file.names.iter().map(rule).collect();
        Ok(Self {
            marker: file.marker,
            prefixes: file.prefixes,
            ignored: ignored?,
            rules: rules?,
        })
    }

    /// What all names of a file of this layout start with, which may be nothing; absent if the file
    /// is of another layout.
    pub(super) fn prefix_in(&self, has: impl Fn(&str) -> bool) -> Option<&str> {
        let marker = self.marker.as_deref()?;
        let prefixes = self.prefixes.iter().map(String::as_str);
        prefixes
            .chain([""])
            .find(|prefix| has(&format!("{prefix}{marker}")))
    }

    /// Where a tensor is found.
    pub(super) fn find(&self, asked: &str) -> Stored {
        let found = self.rules.iter().find_map(|rule| {
            let captured = captured(&rule.asked, asked)?;
            Some(Stored {
                name: filled(&rule.stored, &captured)?,
                part: rule.part,
                squeeze: rule.squeeze,
            })
        });
        found.unwrap_or_else(|| Stored {
            name: asked.to_owned(),
            part: None,
            squeeze: false,
        })
    }

    /// Says whether a tensor of the file may be left unread.
    pub(super) fn ignores(&self, stored: &str) -> bool {
        let mut patterns = self.ignored.iter();
        patterns.any(|pattern| captured(pattern, stored).is_some())
    }
}

fn rule((asked, target): (&String, &Target)) -> Result<Rule, String> {
    let (stored, part, squeeze) = match target {
        Target::Name(stored) => (stored, None, false),
        Target::Detailed {
            stored,
            part,
            of,
            squeeze,
        } => (stored, part.zip(*of), *squeeze),
    };
    if part.is_some_and(|(part, of)| part >= of) {
        return Err(format!("{asked}: there is no such part"));
    }
    Ok(Rule {
        asked: pieces(asked)?,
        stored: pieces(stored)?,
        part,
        squeeze,
    })
}

fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let (pattern, has_rest) = match pattern.strip_suffix('*') {
        Some(before) => (before, true),
        None => (pattern, false),
    };
    let mut pieces = Vec::new();
    let mut text = pattern;
    while let Some((before, after)) = text.split_once('{') {
        let closed = after.split_once('}');
        let (inside, after) = closed.ok_or_else(|| format!("{pattern}: a brace is not closed"))?;
        pieces.push(Piece::Text(before.to_owned()));
        let terms: Result<_, String> = inside.split('+').map(term).collect();
        pieces.push(Piece::Number(terms?));
        text = after;
    }
    pieces.push(Piece::Text(text.to_owned()));
    if has_rest {
        pieces.push(Piece::Rest);
    }
    Ok(pieces)
}

/// `name`, `3` or `4*name`
fn term(text: &str) -> Result<Term, String> {
    let number = |text: &str| {
        text.trim()
            .parse::<u64>()
            .map_err(|error| format!("{text}: {error}"))
    };
    if let Some((factor, name)) = text.split_once('*') {
        let name = Some(name.trim().to_owned());
        return Ok(Term {
            factor: number(factor)?,
            name,
        });
    }
    let is_number = text
        .trim()
        .starts_with(|first: char| first.is_ascii_digit());
    Ok(Term {
        factor: if is_number { number(text)? } else { 1 },
        name: (!is_number).then(|| text.trim().to_owned()),
    })
}

/// What `name` has in the places of `pattern`, if it fits.
fn captured<'a>(pattern: &'a [Piece], name: &'a str) -> Option<Captured<'a>> {
    let mut captured = Captured::default();
    let mut left = name;
    for piece in pattern {
        match piece {
            Piece::Text(text) => left = left.strip_prefix(text.as_str())?,
            Piece::Number(terms) => {
                let digits =
                    left.len() - left.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let (number, after) = left.split_at(digits.min(MAX_DIGITS));
                let key = terms.first()?.name.as_deref()?;
                captured.numbers.push((key, number.parse().ok()?));
                left = after;
            }
            Piece::Rest => {
                captured.rest = left;
                left = "";
            }
        }
    }
    left.is_empty().then_some(captured)
}

fn filled(pattern: &[Piece], captured: &Captured<'_>) -> Option<String> {
    let mut name = String::new();
    for piece in pattern {
        match piece {
            Piece::Text(text) => name.push_str(text),
            Piece::Number(terms) => name.push_str(&sum(terms, captured)?.to_string()),
            Piece::Rest => name.push_str(captured.rest),
        }
    }
    Some(name)
}

fn sum(terms: &[Term], captured: &Captured<'_>) -> Option<u64> {
    terms.iter().try_fold(0_u64, |sum, term| {
        let value = match &term.name {
            Some(name) => captured.numbers.iter().find(|(key, _)| key == name)?.1,
            None => 1,
        };
        sum.checked_add(term.factor.checked_mul(value)?)
    })
}

#[cfg(test)]
mod tests;
