//! Requests as messages.

use std::collections::HashSet;

use kinora_mesh::error::{Kind as ErrorKind, PublicError};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use serde_json::{Map, Value as Json};

pub(crate) use self::value::field_named;
use self::value::{Problems, is_well_known, read_members, read_value};
use crate::json::{read_json, shown};
use crate::route::Body;
use crate::routes::Found;

mod mask;
mod value;

impl Found<'_> {
    /// Makes the method's message of path, query and body. Names in the body are those of the contract or their camel case.
    ///
    /// # Errors
    /// `InvalidArgument` with reason `BODY_INVALID`, `QUERY_INVALID` or `FIELD_INVALID`.
    pub fn message(&self, query: Option<&str>, body: &[u8]) -> Result<DynamicMessage, PublicError> {
        if !self.route.takes_body() {
            return if body.is_empty() {
                self.message_of(query, Json::Object(Map::new()))
            } else {
                Err(invalid("BODY_INVALID", "this call takes no body"))
            };
        }
        // No body is an empty one.
        let body = if body.is_empty() { b"{}" } else { body };
        self.message_of(query, read_json(body)?)
    }

    /// As [`Self::message`], of a body that was read already: of a form, or by [`read_json`].
    ///
    /// # Errors
    /// As [`Self::message`].
    pub fn message_of(
        &self,
        query: Option<&str>,
        body: Json,
    ) -> Result<DynamicMessage, PublicError> {
        let mut message = DynamicMessage::new(self.route.method.input());
        let mut problems = Problems::default();
        let mut present = Vec::new();
        match (&self.route.body, body) {
            (Body::Field(field), json) => {
                present = self.present(field, &json);
                let members = Map::from_iter([(field.name().to_owned(), json)]);
                read_members(&mut message, members, "", &mut problems);
            }
            (Body::None | Body::Whole, Json::Object(members)) => {
                read_members(&mut message, members, "", &mut problems);
            }
            _ => return Err(invalid("BODY_INVALID", "the body is no JSON object")),
        }
        for (path, text) in &self.variables {
            set_variable(&mut message, path, text, &mut problems);
        }
        self.read_query(&mut message, query.unwrap_or_default(), &mut problems)?;
        if let (Body::Field(field), &http::Method::PATCH) = (&self.route.body, self.route.verb()) {
            mask::complete(&mut message, field, present, &mut problems);
        }
        problems.check()?;
        Ok(message)
    }

    /// The fields that a body has, those apart that the path sets.
    fn present(&self, body: &FieldDescriptor, json: &Json) -> Vec<String> {
        let kind = body.kind();
        let (Some(message), Json::Object(members)) = (kind.as_message(), json) else {
            return Vec::new();
        };
        let of_path = |field: &FieldDescriptor| {
            let path = format!("{}.{}", body.name(), field.name());
            self.variables.iter().any(|(variable, _)| *variable == path)
        };
        members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .filter_map(|(name, _)| field_named(message, name))
            .filter(|field| !of_path(field))
            .map(|field| field.name().to_owned())
            .collect()
    }

    fn read_query(
        &self,
        message: &mut DynamicMessage,
        query: &str,
        problems: &mut Problems,
    ) -> Result<(), PublicError> {
        if query.is_empty() {
            return Ok(());
        }
        if self.route.body == Body::Whole {
            return Err(invalid("QUERY_INVALID", "this call takes no query"));
        }
        // Paths that one value has been given for.
        let of_path = self.variables.iter().map(|(path, _)| (*path).to_owned());
        let mut given: HashSet<String> = of_path.collect();
        for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
            let unknown = || unknown_parameter(&name);
            let path = self.parameter(&name).ok_or_else(unknown)?;
            let is_first = given.insert(dotted(&path));
            let (field, messages) = path.split_last().ok_or_else(unknown)?;
            let message = inner(message, messages).ok_or_else(unknown)?;
            if !is_first && !field.is_list() {
                problems.add(dotted(&path), "is given twice");
                continue;
            }
            set_parameter(message, field, &dotted(&path), &text, problems);
        }
        Ok(())
    }

    /// The fields along a dotted name that a query may set: single messages to a value or a list of values.
    fn parameter(&self, name: &str) -> Option<Vec<FieldDescriptor>> {
        let mut path = Vec::new();
        let mut parts = name.split('.').peekable();
        let mut message = self.route.method.input();
        while let Some(part) = parts.next() {
            let field = field_named(&message, part)?;
            if path.is_empty() && self.route.body == Body::Field(field.clone()) {
                return None;
            }
            let kind = field.kind();
            let inner = kind.as_message().filter(|inner| !is_well_known(inner));
            if parts.peek().is_some() {
                message = inner
                    .filter(|_| !field.is_list() && !field.is_map())?
                    .clone();
            } else if inner.is_some() {
                return None;
            }
            path.push(field);
        }
        Some(path)
    }
}

/// Sets a field that is a message, if the message has one of this name and type, to what its user knows better than the
/// client: values are its fields and texts.
///
/// Returns whether there is one.
pub fn set_message(
    message: &mut DynamicMessage,
    field: &str,
    type_name: &str,
    values: &[(&str, String)],
) -> bool {
    let Some(field) = message.descriptor().get_field_by_name(field) else {
        return false;
    };
    let kind = field.kind();
    let Some(inner) = kind
        .as_message()
        .filter(|inner| inner.full_name() == type_name)
    else {
        return false;
    };
    let mut made = DynamicMessage::new(inner.clone());
    for (name, value) in values {
        made.set_field_by_name(name, Value::String(value.clone()));
    }
    message.set_field(&field, Value::Message(made));
    true
}

/// Sets a single text, if the message has one of this name and it is empty.
///
/// Returns whether it has one.
pub fn set_text(message: &mut DynamicMessage, field: &str, value: &str) -> bool {
    let Some(field) = message.descriptor().get_field_by_name(field) else {
        return false;
    };
    if field.is_list() || !matches!(field.kind(), Kind::String) {
        return false;
    }
    if message.get_field(&field).as_str() == Some("") {
        message.set_field(&field, Value::String(value.to_owned()));
    }
    true
}

/// Sets a field that the path gives. The body may have it as well, if it says the same.
fn set_variable(message: &mut DynamicMessage, path: &str, text: &str, problems: &mut Problems) {
    let mut fields = Vec::new();
    let mut descriptor = message.descriptor();
    for part in path.split('.') {
        let Some(field) = descriptor.get_field_by_name(part) else {
            return;
        };
        if let Kind::Message(inner) = field.kind() {
            descriptor = inner;
        }
        fields.push(field);
    }
    let Some((field, messages)) = fields.split_last() else {
        return;
    };
    let Some(value) = read_text(field, text, path, problems) else {
        return;
    };
    let Some(message) = inner(message, messages) else {
        return;
    };
    if message.has_field(field) && *message.get_field(field) != value {
        problems.add(path, "must be as in the path");
        return;
    }
    message.set_field(field, value);
}

fn set_parameter(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    path: &str,
    text: &str,
    problems: &mut Problems,
) {
    let Some(value) = read_text(field, text, path, problems) else {
        return;
    };
    if !field.is_list() {
        message.set_field(field, value);
    } else if let Some(list) = message.get_field_mut(field).as_list_mut() {
        list.push(value);
    }
}

/// Canonical JSON has texts for everything but truth.
fn read_text(
    field: &FieldDescriptor,
    text: &str,
    path: &str,
    problems: &mut Problems,
) -> Option<Value> {
    let json = match (field.kind(), text) {
        (Kind::Bool, "true") => Json::Bool(true),
        (Kind::Bool, "false") => Json::Bool(false),
        _ => Json::String(text.to_owned()),
    };
    read_value(&field.kind(), json, path, problems)
}

/// The message at the end of a path of messages.
fn inner<'a>(
    message: &'a mut DynamicMessage,
    path: &[FieldDescriptor],
) -> Option<&'a mut DynamicMessage> {
    let mut message = message;
    for field in path {
        message = message.get_field_mut(field).as_message_mut()?;
    }
    Some(message)
}

fn dotted(path: &[FieldDescriptor]) -> String {
    let names: Vec<&str> = path.iter().map(FieldDescriptor::name).collect();
    names.join(".")
}

fn unknown_parameter(name: &str) -> PublicError {
    let name = shown(name);
    let message = format!("`{name}` is no parameter of this call");
    invalid("QUERY_INVALID", message).with_violation(name, "is no parameter of this call")
}

fn invalid(reason: &str, message: impl Into<String>) -> PublicError {
    PublicError::new(ErrorKind::InvalidArgument, reason, message)
}

#[cfg(test)]
mod tests;
