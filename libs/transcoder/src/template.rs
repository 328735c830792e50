//! Path templates of `google.api.http`, for example `/v1/users/{id}:disable` or `/v1/{name=projects/*/clips/*}`.

use std::fmt;

/// A template, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    text: String,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
    verb: String,
}

/// What one part of a path must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// This text.
    Literal(String),
    /// Any one part, not empty.
    One,
    /// Whatever is left, also nothing. Only at the end.
    Rest,
}

/// A field, and the segments that are its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    field: String,
    first: usize,
    last: usize,
}

/// The template does not follow the grammar.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no path template")]
pub(crate) struct InvalidTemplate(String);

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        parse(text).ok_or_else(|| InvalidTemplate(text.to_owned()))
    }

    /// The fields that the path sets.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.variables
            .iter()
            .map(|variable| variable.field.as_str())
    }

    /// The fields that the path sets to what a client chooses, and not to a text of the template.
    pub(crate) fn open_fields(&self) -> impl Iterator<Item = &str> {
        let open = self.variables.iter().filter(|variable| {
            let segments = self.segments.get(variable.first..=variable.last);
            let mut segments = segments.unwrap_or_default().iter();
            segments.any(|segment| !matches!(segment, Segment::Literal(_)))
        });
        open.map(|variable| variable.field.as_str())
    }

    /// A template whose paths are all another one's, too, comes before that one.
    pub(crate) fn order(&self) -> impl Ord + '_ {
        (&self.segments, self.verb.is_empty(), &self.verb)
    }

    /// Whether there is a path that fits both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        // A colon in the last part is a verb's, except where the last part may be anything.
        let takes_verbs = |template: &Self| {
            template.verb.is_empty() && template.segments.last() == Some(&Segment::Rest)
        };
        if self.verb != other.verb && !takes_verbs(self) && !takes_verbs(other) {
            return false;
        }
        let mut index = 0;
        loop {
            match (self.segments.get(index), other.segments.get(index)) {
                (Some(Segment::Rest), _) | (_, Some(Segment::Rest)) | (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(Segment::Literal(a)), Some(Segment::Literal(b))) if a != b => return false,
                _ => index += 1,
            }
        }
    }

    /// Whether every path that fits this one fits the other one, given that some path fits both.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        if self.verb != other.verb && !other.verb.is_empty() {
            return false;
        }
        let mut index = 0;
        loop {
            match (self.segments.get(index), other.segments.get(index)) {
                (_, Some(Segment::Rest)) | (None, None) => return true,
                (Some(Segment::Rest), _) | (None, _) | (_, None) => return false,
                (Some(Segment::One), Some(Segment::Literal(_))) => return false,
                _ => index += 1,
            }
        }
    }

    /// The values of the fields, if the path fits.
    pub(crate) fn matches(&self, path: &str) -> Option<Vec<(&str, String)>> {
        let path = path.strip_prefix('/')?;
        let path = if self.verb.is_empty() {
            path
        } else {
            path.strip_suffix(self.verb.as_str())?.strip_suffix(':')?
        };
        let parts: Vec<&str> = path.split('/').collect();
        let has_rest = self.segments.last() == Some(&Segment::Rest);
        let fixed = self.segments.len() - usize::from(has_rest);
        if parts.len() < fixed || (parts.len() > fixed && !has_rest) {
            return None;
        }
        let mut decoded = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let part = decode(part)?;
            let fits = match self.segments.get(index) {
                Some(Segment::Literal(literal)) => part == *literal,
                Some(Segment::One) => self.is_one(&part),
                Some(Segment::Rest) | None => has_rest,
            };
            let fits = fits && (!part.contains('/') || self.is_value(index));
            if !fits {
                return None;
            }
            decoded.push(part);
        }
        let value = |variable: &Variable| {
            let end = if self.segments.get(variable.last) == Some(&Segment::Rest) {
                decoded.len()
            } else {
                variable.last + 1
            };
            decoded[variable.first.min(end)..end].join("/")
        };
        let variables = self.variables.iter();
        Some(
            variables
                .map(|variable| (variable.field.as_str(), value(variable)))
                .collect(),
        )
    }

    /// Whether a part is all of a value. A value of several parts has no slashes but those between them.
    fn is_value(&self, index: usize) -> bool {
        let is_at = |variable: &Variable| (variable.first, variable.last) == (index, index);
        self.segments.get(index) == Some(&Segment::One) && self.variables.iter().any(is_at)
    }

    /// Without a verb of its own a template does not take another one's.
    fn is_one(&self, part: &str) -> bool {
        !part.is_empty() && (!self.verb.is_empty() || !part.contains(':'))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse(text: &str) -> Option<Template> {
    let mut rest = text.strip_prefix('/')?;
    let mut template = Template {
        text: text.to_owned(),
        segments: Vec::new(),
        variables: Vec::new(),
        verb: String::new(),
    };
    // A colon after the last brace or slash begins the verb.
    let tail = rest.rfind(['/', '}']).map_or(0, |at| at + 1);
    if let Some(colon) = rest[tail..].find(':') {
        template.verb = name(&rest[tail + colon + 1..])?.to_owned();
        rest = &rest[..tail + colon];
    }
    while !rest.is_empty() {
        let end = if rest.starts_with('{') {
            rest.find('}')? + 1
        } else {
            rest.find('/').unwrap_or(rest.len())
        };
        template.push(&rest[..end])?;
        rest = match rest[end..].strip_prefix('/') {
            Some(more) if !more.is_empty() => more,
            None if end == rest.len() => "",
            _ => return None,
        };
    }
    let is_last = |index: usize| index + 1 == template.segments.len();
    let rests = template.segments.iter().enumerate();
    let are_last = rests
        .filter(|(_, segment)| **segment == Segment::Rest)
        .all(|(index, _)| is_last(index));
    (!template.segments.is_empty() && are_last).then_some(template)
}

impl Template {
    fn push(&mut self, part: &str) -> Option<()> {
        let Some(inner) = part.strip_prefix('{') else {
            self.segments.push(segment(part)?);
            return Some(());
        };
        let inner = inner.strip_suffix('}')?;
        let (field, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
        if !field.split('.').all(|part| name(part).is_some()) {
            return None;
        }
        let first = self.segments.len();
        for part in pattern.split('/') {
            self.segments.push(segment(part)?);
        }
        self.variables.push(Variable {
            field: field.to_owned(),
            first,
            last: self.segments.len() - 1,
        });
        Some(())
    }
}

fn segment(text: &str) -> Option<Segment> {
    match text {
        "*" => Some(Segment::One),
        "**" => Some(Segment::Rest),
        _ => name(text).map(|name| Segment::Literal(name.to_owned())),
    }
}

/// Letters, digits, `-`, `_` and `.`.
fn name(text: &str) -> Option<&str> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (!text.is_empty() && text.chars().all(is_legal)).then_some(text)
}

/// Percent-decodes one part of a path. None when it is no text.
fn decode(part: &str) -> Option<String> {
    if !part.contains('%') {
        return Some(part.to_owned());
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        rest = more;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, more) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = more;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(template: &str, path: &str, expected: Option<&[(&str, &str)]>) {
        let template = Template::parse(template).expect("a template");
        let found = template.matches(path);
        let found: Option<Vec<(&str, &str)>> = found.as_ref().map(|variables| {
            let pairs = variables.iter();
            pairs
                .map(|(field, value)| (*field, value.as_str()))
                .collect()
        });
        assert_eq!(found.as_deref(), expected, "{path}");
    }

    #[test]
    fn variables_take_their_segments() {
        check("/v1/me", "/v1/me", Some(&[]));
        check("/v1/users/{id}", "/v1/users/42", Some(&[("id", "42")]));
        check("/v1/users/{id}", "/v1/users/a%20b", Some(&[("id", "a b")]));
        check(
            "/v1/{name=a/*/b/*}",
            "/v1/a/1/b/2",
            Some(&[("name", "a/1/b/2")]),
        );
        check(
            "/v1/{name=a/**}:get",
            "/v1/a/1/2:get",
            Some(&[("name", "a/1/2")]),
        );
        check(
            "/v1/o/{o.id}/m/{u}",
            "/v1/o/1/m/2",
            Some(&[("o.id", "1"), ("u", "2")]),
        );
        check("/v1/{kind=a}/{id}", "/v1/b/1", None);
        check(
            "/v1/{kind=a}/{id}",
            "/v1/a/1",
            Some(&[("kind", "a"), ("id", "1")]),
        );
        let template = Template::parse("/v1/{kind=a}/{id}/{name=b/*}").expect("a template");
        assert!(template.open_fields().eq(["id", "name"]));
    }

    #[test]
    fn verbs_belong_to_their_own_template() {
        check(
            "/v1/users/{id}:disable",
            "/v1/users/4:disable",
            Some(&[("id", "4")]),
        );
        check("/v1/users/{id}", "/v1/users/4:disable", None);
        check("/v1/me:stepUp", "/v1/me:stepUp", Some(&[]));
        check("/v1/me", "/v1/me:stepUp", None);
    }

    #[test]
    fn a_slash_may_be_in_a_value_of_one_part_alone() {
        check("/v1/users/{id}", "/v1/users/a%2Fb", Some(&[("id", "a/b")]));
        check("/v1/users/*", "/v1/users/a%2Fb", None);
        check("/v1/{name=users/*}", "/v1/users/a%2Fb", None);
        check("/v1/{name=**}", "/v1/users/a%2Fb", None);
        check("/v1/users/me", "/v1/users%2Fme", None);
    }

    #[test]
    fn other_paths_do_not_fit() {
        for path in [
            "",
            "/",
            "/v1/users",
            "/v1/users/",
            "/v1/users/1/2",
            "/v1/users/%zz",
            "/v1/users/%ff",
            "//v1/users/1",
        ] {
            check("/v1/users/{id}", path, None);
        }
    }

    #[test]
    fn other_templates_are_refused() {
        for text in [
            "", "v1", "/", "/v1/", "/{", "/{}", "/{a=}", "/**/a", "/a b", "/v1:", "//a",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_path_and_no_template_panics(template in "[/{}=*:a.%]{0,24}", path in "\\PC{0,40}") {
            if let Ok(template) = Template::parse(&template) {
                template.matches(&path);
            }
        }
    }
}
