//! Field masks: the names of the fields that a change is about.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage, Value};
use serde_json::Value as Json;

use super::value::{Problems, field_named};

/// The type of a mask.
pub(super) const NAME: &str = "google.protobuf.FieldMask";

/// The field of a change that says what is changed (AIP-134).
const FIELD: &str = "update_mask";

/// Reads paths with commas between them, in the contract's names or in camel case.
pub(super) fn read(mask: &MessageDescriptor, json: &Json) -> Result<DynamicMessage, String> {
    let expected = "must be names of fields, with commas between them";
    let text = json.as_str().ok_or(expected)?;
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    let mut paths = Vec::new();
    for path in text
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty())
    {
        if !path.chars().all(is_legal) {
            return Err(expected.to_owned());
        }
        paths.push(snake_case(path));
    }
    Ok(of(mask, paths))
}

/// Checks the mask of a change to `changed`, a field of the message, or makes one of the fields `present`.
pub(super) fn complete(
    message: &mut DynamicMessage,
    changed: &FieldDescriptor,
    present: Vec<String>,
    problems: &mut Problems,
) {
    let field = message.descriptor().get_field_by_name(FIELD);
    let Some(field) = field.filter(is_mask) else {
        return;
    };
    let kinds = (field.kind(), changed.kind());
    let (Some(mask), Some(target)) = (kinds.0.as_message(), kinds.1.as_message()) else {
        return;
    };
    if !message.has_field(&field) {
        message.set_field(&field, Value::Message(of(mask, present)));
        return;
    }
    let given = message.get_field(&field).into_owned();
    let given = given.as_message().map(paths_of).unwrap_or_default();
    if !given.iter().all(|path| is_path_of(target, path)) {
        problems.add(FIELD, format!("must name fields of `{}`", changed.name()));
    }
}

fn is_mask(field: &FieldDescriptor) -> bool {
    let kind = field.kind();
    kind.as_message()
        .is_some_and(|kind| kind.full_name() == NAME)
        && !field.is_list()
}

fn of(mask: &MessageDescriptor, paths: impl IntoIterator<Item = String>) -> DynamicMessage {
    let paths = paths.into_iter().map(Value::String).collect();
    let mut made = DynamicMessage::new(mask.clone());
    made.set_field_by_name("paths", Value::List(paths));
    made
}

fn paths_of(mask: &DynamicMessage) -> Vec<String> {
    let paths = mask.get_field_by_name("paths");
    let paths = paths
        .as_deref()
        .and_then(Value::as_list)
        .unwrap_or_default();
    let texts = paths.iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Whether a dotted path leads to a field, through single messages.
fn is_path_of(message: &MessageDescriptor, path: &str) -> bool {
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(field) = field_named(message, name) else {
        return false;
    };
    let Some(rest) = rest else {
        return true;
    };
    let kind = field.kind();
    let inner = kind
        .as_message()
        .filter(|_| !field.is_list() && !field.is_map());
    inner.is_some_and(|inner| is_path_of(inner, rest))
}

fn snake_case(path: &str) -> String {
    let mut name = String::with_capacity(path.len() + 4);
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}
