//! JSON bodies, read strictly: every mistake is named, all at once.

mod json;

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use kinora_ids::JobId;
use serde_json::{Map, Value};

use crate::problem::Problem;

/// More mistakes of one body are not listed.
const MAX_VIOLATIONS: usize = 32;

/// The longest duration that protobuf knows, ten thousand years.
const MAX_DURATION: Duration = Duration::from_secs(315_576_000_000);

/// Why a body cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The body is not one JSON object; says what is wrong and where.
    NotAnObject(String),
    /// Fields that are unknown, missing or of the wrong kind.
    Fields(Vec<Violation>),
}

/// One field and what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, for example `requests[2].width`.
    pub field: String,
    /// A sentence that says what was expected.
    pub detail: String,
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        let violations = match rejected {
            Rejected::NotAnObject(detail) => {
                let detail = format!("the body is not the JSON that was expected: {detail}");
                return Self::new(StatusCode::BAD_REQUEST, "BODY_INVALID", detail);
            }
            Rejected::Fields(violations) => violations,
        };
        let names: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
        let detail = format!("these fields are not valid: {}", names.join(", "));
        let problem = Self::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", detail);
        violations.into_iter().fold(problem, |problem, violation| {
            problem.with_field(&violation.field, violation.detail)
        })
    }
}

/// The fields of one object that were not read so far, and what was wrong with those that were.
pub(crate) struct Fields {
    members: Map<String, Value>,
    known: Vec<&'static str>,
    /// Stands before every name; empty at the top.
    path: String,
    violations: Vec<Violation>,
}

impl Fields {
    /// Begins to read a body whose fields are `known`, in the order of the documentation.
    pub(crate) fn read(body: &[u8], known: &[&'static str]) -> Result<Self, Rejected> {
        let members = json::object(body).map_err(Rejected::NotAnObject)?;
        Ok(Self::new(members, known, String::new()))
    }

    fn new(members: Map<String, Value>, known: &[&'static str], path: String) -> Self {
        Self {
            members,
            known: known.to_vec(),
            path,
            violations: Vec::new(),
        }
    }

    /// Whether a field is there and says something. A `null` means the same as an absent field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Refuses the body unless a field is there.
    pub(crate) fn require(&mut self, name: &str) {
        if !self.has(name) {
            self.refuse::<()>(name, "is required");
        }
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.refuse(name, format!("must be a string, not {}", kind(&other))),
        }
    }

    /// A whole number.
    pub(crate) fn whole_u32(&mut self, name: &str) -> Option<u32> {
        let value = self.whole(name, u64::from(u32::MAX))?;
        u32::try_from(value).ok()
    }

    /// A whole number of at most `max`.
    pub(crate) fn whole(&mut self, name: &str, max: u64) -> Option<u64> {
        let value = self.take(name)?;
        match whole(&value, max) {
            Ok(number) => Some(number),
            Err(detail) => self.refuse(name, detail),
        }
    }

    /// Any number.
    pub(crate) fn number(&mut self, name: &str) -> Option<f64> {
        match self.take(name)? {
            Value::Number(number) => number.as_f64(),
            other => self.refuse(name, format!("must be a number, not {}", kind(&other))),
        }
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            other => self.refuse(name, format!("must be true or false, not {}", kind(&other))),
        }
    }

    /// One of a few names.
    pub(crate) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices.iter().find(|(choice, _)| *choice == text);
        chosen.map(|(_, value)| *value).or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            self.refuse(name, format!("must be one of {}", names.join(", ")))
        })
    }

    /// A time in RFC 3339, whose offset must be there.
    pub(crate) fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        match DateTime::parse_from_rfc3339(&text) {
            Ok(time) => Some(time.to_utc()),
            Err(_) => self.refuse(name, "must be a time such as 2027-01-31T18:00:00Z"),
        }
    }

    /// A whole number of seconds, or a text such as `90s`, `30m`, `2h` or `1d`.
    pub(crate) fn duration(&mut self, name: &str) -> Option<Duration> {
        let duration = match self.take(name)? {
            Value::Number(number) => number.as_u64().map(Duration::from_secs),
            Value::String(text) => humantime::parse_duration(&text).ok(),
            _ => None,
        };
        let duration = duration.filter(|duration| *duration <= MAX_DURATION);
        duration.or_else(|| {
            let detail = "must be a whole number of seconds, or a text such as 90s, 30m, 2h or 1d";
            self.refuse(name, detail)
        })
    }

    /// The id of a video.
    pub(crate) fn video_id(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        match text.parse::<JobId>() {
            Ok(id) => Some(id.to_string()),
            Err(_) => self.refuse(name, "must be the id of a video"),
        }
    }

    /// A list of strings.
    pub(crate) fn texts(
        &mut self,
        name: &str,
        lengths: RangeInclusive<usize>,
    ) -> Option<Vec<String>> {
        self.list(name, lengths, |value| match value {
            Value::String(text) => Ok(text),
            other => Err(format!("must be a string, not {}", kind(&other))),
        })
    }

    /// A list of 1 to `max` whole numbers.
    pub(crate) fn wholes(&mut self, name: &str, max: usize) -> Option<Vec<u64>> {
        self.list(name, 1..=max, |value| whole(&value, u64::MAX))
    }

    /// A list of 1 to `max` objects with the fields `known`, each read by `reader`.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        max: usize,
        known: &[&'static str],
        mut reader: impl FnMut(&mut Self) -> T,
    ) -> Option<Vec<T>> {
        let objects = self.list(name, 1..=max, |value| match value {
            Value::Object(members) => Ok(members),
            other => Err(format!("must be an object, not {}", kind(&other))),
        })?;
        let mut items = Vec::new();
        for (index, members) in objects.into_iter().enumerate() {
            let path = format!("{}{name}[{index}].", self.path);
            let mut inner = Self::new(members, known, path);
            items.push(reader(&mut inner));
            inner.refuse_unread();
            self.violations.append(&mut inner.violations);
        }
        Some(items)
    }

    fn list<T>(
        &mut self,
        name: &str,
        lengths: RangeInclusive<usize>,
        reader: impl Fn(Value) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let values = match self.take(name)? {
            Value::Array(values) => values,
            other => return self.refuse(name, format!("must be an array, not {}", kind(&other))),
        };
        if !lengths.contains(&values.len()) {
            let (least, most) = (lengths.start(), lengths.end());
            return self.refuse(name, format!("must have {least} to {most} entries"));
        }
        let mut items = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            match reader(value) {
                Ok(item) => items.push(item),
                Err(detail) => {
                    self.refuse::<()>(&format!("{name}[{index}]"), detail);
                }
            }
        }
        Some(items)
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        debug_assert!(self.known.contains(&name), "{name} is not documented");
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// Notes what is wrong with a field; there is no value then.
    pub(crate) fn refuse<T>(&mut self, field: &str, detail: impl Into<String>) -> Option<T> {
        self.violations.push(Violation {
            field: format!("{}{field}", self.path),
            detail: detail.into(),
        });
        None
    }

    /// Refuses every field that is left, for the reason given.
    pub(crate) fn refuse_rest(&mut self, detail: &str) {
        for (name, value) in std::mem::take(&mut self.members) {
            if !value.is_null() {
                self.refuse::<()>(&printable(&name), detail);
            }
        }
    }

    fn refuse_unread(&mut self) {
        let detail = format!("is not a field; the fields are {}", self.known.join(", "));
        for name in std::mem::take(&mut self.members).into_iter().map(|m| m.0) {
            if self.violations.len() > MAX_VIOLATIONS {
                return;
            }
            self.refuse::<()>(&printable(&name), detail.as_str());
        }
    }

    /// Ends the reading: what is left is unknown.
    ///
    /// # Errors
    ///
    /// [`Rejected::Fields`] when anything was wrong.
    pub(crate) fn finish(mut self) -> Result<(), Rejected> {
        self.refuse_unread();
        self.violations.truncate(MAX_VIOLATIONS);
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(Rejected::Fields(self.violations))
        }
    }
}

fn whole(value: &Value, max: u64) -> Result<u64, String> {
    let Value::Number(number) = value else {
        return Err(format!("must be a whole number, not {}", kind(value)));
    };
    match number.as_u64() {
        Some(value) if value <= max => Ok(value),
        Some(_) => Err(format!("must be at most {max}")),
        None if number.as_f64().is_some_and(|value| value < 0.0) => {
            Err("must be 0 or more".to_owned())
        }
        None => Err(format!("must be a whole number of at most {max}")),
    }
}

/// What a caller wrote, short and harmless enough to show.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
