//! Members of a JSON object, taken one by one and strictly.

use std::ops::RangeInclusive;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::problem::Problem;

/// Longer names are cut where they are shown.
const SHOWN_CHARS: usize = 64;

/// What is left of an object. A member that is null is absent.
#[derive(Debug)]
pub(in crate::http::runpod) struct Fields {
    members: Map<String, Value>,
    /// Where the object stands, as names of its members begin.
    prefix: &'static str,
}

impl Fields {
    /// The members of a body.
    ///
    /// # Errors
    /// 400 when it is no object.
    pub(in crate::http::runpod) fn of_body(body: Value) -> Result<Self, Problem> {
        match body {
            Value::Object(members) => Ok(Self {
                members,
                prefix: "",
            }),
            _ => {
                let detail = "the body is no JSON object";
                let status = StatusCode::BAD_REQUEST;
                Err(Problem::new(status, "BODY_INVALID", detail))
            }
        }
    }

    /// Takes a member as it is.
    pub(in crate::http::runpod) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text.
    pub(in crate::http::runpod) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "must be a text")),
        }
    }

    /// Takes a text that has to be there.
    pub(in crate::http::runpod) fn required_text(&mut self, name: &str) -> Result<String, Problem> {
        let text = self.text(name)?.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| self.invalid(name, "must be there, as a text that is not empty"))
    }

    /// Takes true or false.
    pub(in crate::http::runpod) fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.invalid(name, "must be true or false")),
        }
    }

    /// Takes a whole number of a range.
    pub(in crate::http::runpod) fn whole(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Problem> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_u64().filter(|number| range.contains(number));
        let number = number.ok_or_else(|| {
            let (least, most) = range.into_inner();
            self.invalid(
                name,
                format!("must be a whole number from {least} to {most}"),
            )
        });
        number.map(Some)
    }

    /// Takes a number of a range.
    pub(in crate::http::runpod) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f64>, Problem> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|number| range.contains(number));
        let number = number.ok_or_else(|| {
            let (least, most) = range.into_inner();
            self.invalid(name, format!("must be a number from {least} to {most}"))
        });
        number.map(Some)
    }

    /// Takes an object.
    pub(in crate::http::runpod) fn object(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Self>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self {
                members,
                // Members of `input` are known by their own names.
                prefix: if name == "input" { "" } else { name },
            })),
            Some(_) => Err(self.invalid(name, "must be an object")),
        }
    }

    /// What was not taken.
    pub(in crate::http::runpod) fn into_members(self) -> Map<String, Value> {
        self.members
    }

    /// Refuses what was not taken, whatever its value.
    ///
    /// # Errors
    /// 400 that names every such member.
    pub(in crate::http::runpod) fn done(self) -> Result<(), Problem> {
        let detail = "the request is not valid";
        let mut problem = None;
        for name in self.members.keys() {
            let begun = problem
                .take()
                .unwrap_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "FIELD_INVALID", detail));
            problem = Some(begun.with_field(&self.full_name(name), "is no field here"));
        }
        problem.map_or(Ok(()), Err)
    }

    /// A member that cannot be taken as it is.
    pub(in crate::http::runpod) fn invalid(
        &self,
        name: &str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem::invalid(&self.full_name(name), detail)
    }

    fn full_name(&self, name: &str) -> String {
        let name = name.chars().filter(|c| !c.is_control());
        let name: String = name.take(SHOWN_CHARS).collect();
        if self.prefix.is_empty() {
            name
        } else {
            format!("{}.{name}", self.prefix)
        }
    }
}
