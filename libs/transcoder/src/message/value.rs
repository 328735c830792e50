//! JSON as values of a contract, checked field by field.
//!
//! What canonical proto3 JSON allows is taken, and a data URL where there are bytes. Everything that is wrong is
//! collected with the path of its field, in words for people. What a client sent is not repeated in them.

use std::collections::HashMap;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use kinora_mesh::error::{Kind as ErrorKind, PublicError};
use prost_reflect::{
    Cardinality, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage, Value,
};
use serde_json::{Map, Number, Value as Json};

use super::mask;
use crate::json::shown;

/// How many problems are told at once.
const MAX_VIOLATIONS: usize = 16;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// What a field must be, in words that follow its name.
type Expected = String;

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<(String, String)>);

impl Problems {
    /// Adds one; those above the sixteenth are not kept.
    pub(super) fn add(&mut self, field: impl Into<String>, sentence: impl Into<String>) {
        if self.0.len() < MAX_VIOLATIONS {
            self.0.push((field.into(), sentence.into()));
        }
    }

    /// # Errors
    /// `InvalidArgument` with reason `FIELD_INVALID` and all problems, if there are any.
    pub(super) fn check(self) -> Result<(), PublicError> {
        let Some((field, sentence)) = self.0.first() else {
            return Ok(());
        };
        let mut message = format!("`{field}` {sentence}");
        if self.0.len() > 1 {
            message = format!("{message}, and {} more", self.0.len() - 1);
        }
        let error = PublicError::new(ErrorKind::InvalidArgument, "FIELD_INVALID", message);
        let add = |error: PublicError, (field, sentence)| error.with_violation(field, sentence);
        Err(self.0.into_iter().fold(error, add))
    }
}

/// Sets the fields of `message` that `members` name; `path` leads to the message.
pub(super) fn read_members(
    message: &mut DynamicMessage,
    members: Map<String, Json>,
    path: &str,
    problems: &mut Problems,
) {
    let descriptor = message.descriptor();
    let mut seen: Vec<u32> = Vec::new();
    for (name, json) in members {
        let Some(field) = field_named(&descriptor, &name) else {
            problems.add(join(path, &shown(&name)), "is no field of this call");
            continue;
        };
        let path = join(path, field.name());
        if seen.contains(&field.number()) {
            problems.add(path, "is given twice");
            continue;
        }
        seen.push(field.number());
        if json.is_null() && !takes_null(&field) {
            continue;
        }
        if is_other_choice(message, &field) {
            problems.add(path, "cannot be given together with another choice");
            continue;
        }
        if let Some(value) = read_field(&field, json, &path, problems) {
            message.set_field(&field, value);
        }
    }
}

/// A field by its name in the contract or by the camel case of it.
pub(crate) fn field_named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_name(name)
        .or_else(|| message.get_field_by_json_name(name))
}

/// Reads one value of a kind: an item of a list, or a text of a path or a query.
pub(super) fn read_value(
    kind: &Kind,
    json: Json,
    path: &str,
    problems: &mut Problems,
) -> Option<Value> {
    if let Kind::Message(inner) = kind
        && !is_well_known(inner)
    {
        return match json {
            Json::Object(members) => {
                let mut message = DynamicMessage::new(inner.clone());
                read_members(&mut message, members, path, problems);
                Some(Value::Message(message))
            }
            _ => {
                problems.add(path, "must be an object");
                None
            }
        };
    }
    match scalar(kind, json) {
        Ok(value) => Some(value),
        Err(expected) => {
            problems.add(path, expected);
            None
        }
    }
}

fn read_field(
    field: &FieldDescriptor,
    json: Json,
    path: &str,
    problems: &mut Problems,
) -> Option<Value> {
    let kind = field.kind();
    if field.is_map() {
        return read_map(&kind, json, path, problems);
    }
    if field.cardinality() != Cardinality::Repeated {
        return read_value(&kind, json, path, problems);
    }
    let Json::Array(items) = json else {
        problems.add(path, "must be a list");
        return None;
    };
    let mut values = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        values.extend(read_value(
            &kind,
            item,
            &format!("{path}[{index}]"),
            problems,
        ));
    }
    Some(Value::List(values))
}

fn read_map(kind: &Kind, json: Json, path: &str, problems: &mut Problems) -> Option<Value> {
    let entry = kind.as_message()?;
    let (key_kind, value_kind) = (
        entry.map_entry_key_field().kind(),
        entry.map_entry_value_field().kind(),
    );
    let Json::Object(members) = json else {
        problems.add(path, "must be an object");
        return None;
    };
    let mut entries = HashMap::with_capacity(members.len());
    for (name, json) in members {
        let path = join(path, &shown(&name));
        let Some(key) = map_key(&key_kind, name) else {
            problems.add(path, "has a name that cannot be read");
            continue;
        };
        let value = read_value(&value_kind, json, &path, problems);
        entries.extend(value.map(|value| (key, value)));
    }
    Some(Value::Map(entries))
}

fn map_key(kind: &Kind, name: String) -> Option<MapKey> {
    let json = match kind {
        Kind::Bool => Json::Bool(name.parse().ok()?),
        _ => Json::String(name),
    };
    scalar(kind, json).ok()?.into_map_key()
}

/// Null says something in these alone; elsewhere it is as if the field were not there.
fn takes_null(field: &FieldDescriptor) -> bool {
    let kind = field.kind();
    let message = kind.as_message();
    message.is_some_and(|message| message.full_name() == "google.protobuf.Value")
        && field.cardinality() != Cardinality::Repeated
}

fn is_other_choice(message: &DynamicMessage, field: &FieldDescriptor) -> bool {
    let choice = field.containing_oneof();
    choice.is_some_and(|choice| choice.fields().any(|other| message.has_field(&other)))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn scalar(kind: &Kind, json: Json) -> Result<Value, Expected> {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(&json).map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(&json).map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(&json).map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(&json).map(Value::U64),
        Kind::Double => real(&json).map(Value::F64),
        Kind::Float => real(&json).and_then(single).map(Value::F32),
        Kind::Bool => match json {
            Json::Bool(value) => Ok(Value::Bool(value)),
            _ => Err("must be true or false".to_owned()),
        },
        Kind::String => text(json).map(Value::String),
        Kind::Bytes => match json {
            Json::String(text) => bytes(&text).map(|bytes| Value::Bytes(bytes.into())),
            _ => Err(BYTES.to_owned()),
        },
        Kind::Enum(values) => choice(values, &json).map(Value::EnumNumber),
        Kind::Message(message) => well_known(message, json).map(Value::Message),
    }
}

/// A type of whole numbers.
trait Whole: TryFrom<i128> + std::fmt::Display {
    const MIN: Self;
    const MAX: Self;
}

macro_rules! whole {
    ($($type:ty),*) => {
        $(impl Whole for $type {
            const MIN: Self = Self::MIN;
            const MAX: Self = Self::MAX;
        })*
    };
}

whole!(i32, i64, u32, u64);

/// A whole number, or a text of its digits.
fn integer<T: Whole>(json: &Json) -> Result<T, Expected> {
    let number = match json {
        Json::Number(number) => whole_number(number),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    let value = number.and_then(|number| T::try_from(number).ok());
    value.ok_or_else(|| format!("must be a whole number from {} to {}", T::MIN, T::MAX))
}

/// Also of `8.0` or `1e3`.
fn whole_number(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed
        .or_else(|| number.as_u64().map(i128::from))
        .or_else(|| {
            let value = number.as_f64().filter(|value| value.fract() == 0.0)?;
            format!("{value:.0}").parse().ok()
        })
}

fn real(json: &Json) -> Result<f64, Expected> {
    let value = match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            // Words for other values than these are no numbers of JSON.
            digits => digits.parse().ok().filter(|value: &f64| value.is_finite()),
        },
        _ => None,
    };
    value.ok_or_else(|| "must be a number".to_owned())
}

fn single(value: f64) -> Result<f32, Expected> {
    let is_in_range = !value.is_finite() || value.abs() <= f64::from(f32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "in range; the nearest value of single precision is meant"
    )]
    let value = is_in_range.then_some(value as f32);
    value.ok_or_else(|| "must be a number of single precision".to_owned())
}

fn text(json: Json) -> Result<String, Expected> {
    match json {
        // No database keeps it.
        Json::String(text) if text.contains('\0') => {
            Err("must not have the character U+0000".to_owned())
        }
        Json::String(text) => Ok(text),
        _ => Err("must be a text".to_owned()),
    }
}

const BYTES: &str = "must be a file in base64, or a data URL of base64";

fn bytes(text: &str) -> Result<Vec<u8>, Expected> {
    let encoded = match text.split_at_checked(5) {
        Some((scheme, url)) if scheme.eq_ignore_ascii_case("data:") => of_data_url(url)?,
        _ => text,
    };
    let engine = if encoded.contains(['-', '_']) {
        URL_SAFE
    } else {
        STANDARD
    };
    engine.decode(encoded).map_err(|_| BYTES.to_owned())
}

/// What stands behind `data:<type>;base64,`.
fn of_data_url(url: &str) -> Result<&str, Expected> {
    let (head, encoded) = url.split_once(',').ok_or(BYTES)?;
    let mark = head.rsplit(';').next().unwrap_or_default();
    let is_base64 = head.contains(';') && mark.trim().eq_ignore_ascii_case("base64");
    is_base64.then_some(encoded).ok_or_else(|| BYTES.to_owned())
}

/// A value by its name. Its number does, too, if there is such a value.
fn choice(values: &EnumDescriptor, json: &Json) -> Result<i32, Expected> {
    let value = match json {
        Json::String(name) => values.get_value_by_name(name),
        Json::Number(number) => {
            let number = whole_number(number).and_then(|number| i32::try_from(number).ok());
            number.and_then(|number| values.get_value(number))
        }
        _ => None,
    };
    value
        .map(|value| value.number())
        .ok_or_else(|| names_of(values))
}

/// Zero stands for none of them, by convention.
fn names_of(values: &EnumDescriptor) -> Expected {
    let named = values.values().filter(|value| value.number() != 0);
    let names: Vec<String> = named.map(|value| value.name().to_owned()).collect();
    format!("must be one of {}", names.join(", "))
}

/// Whether a message has a form of its own in JSON.
pub(super) fn is_well_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

fn well_known(message: &MessageDescriptor, json: Json) -> Result<DynamicMessage, Expected> {
    if message.full_name() == mask::NAME {
        return mask::read(message, &json);
    }
    DynamicMessage::deserialize(message.clone(), json).map_err(|_| {
        let expected = match message.name() {
            "Timestamp" => "must be a time of RFC 3339, for example 2026-01-31T12:00:00Z",
            "Duration" => "must be a number of seconds with an s, for example 1800s",
            "Struct" => "must be an object",
            "ListValue" => "must be a list",
            _ => "cannot be read",
        };
        expected.to_owned()
    })
}
