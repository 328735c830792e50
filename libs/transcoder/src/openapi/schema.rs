//! Messages and enumerations as JSON Schema, in their canonical JSON.

use std::collections::BTreeSet;

use prost_reflect::{EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, Value as Field};
use serde_json::{Map, Value, json};

use super::comments::{Comments, example};
use super::names::{Names, Side};
use super::{Info, Shown};

/// Numbers of `google.api.FieldBehavior`.
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const INPUT_ONLY: i32 = 4;

/// Base64 of either alphabet, padded or not, alone or as a data URL.
const BASE64: &str = concat!(
    "^([Dd][Aa][Tt][Aa]:[^,]*;[Bb][Aa][Ss][Ee]64,)?(",
    "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?",
    "|([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}(==)?|[A-Za-z0-9_-]{3}=?)?)$",
);

/// How many items a page has; never negative (AIP-158).
const PAGE_SIZES: [&str; 2] = ["page_size", "limit"];

/// The schemas that were asked for, and those that these need.
pub(super) struct Schemas<'a> {
    names: &'a Names,
    comments: &'a Comments,
    info: &'a Info<'a>,
    made: Map<String, Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(names: &'a Names, comments: &'a Comments, info: &'a Info<'a>) -> Self {
        Self {
            names,
            comments,
            info,
            made: Map::new(),
        }
    }

    pub(super) fn done(self) -> Map<String, Value> {
        self.made
    }

    /// A reference to a message's schema, which is made if need be.
    pub(super) fn message(&mut self, shown: &Shown, side: Side) -> Value {
        if let Some(schema) = well_known(shown.message.full_name()) {
            return schema;
        }
        let name = self.names.of_message(shown, side);
        let reference = reference(&name);
        if !self.made.contains_key(&name) {
            // There before it is made, for messages that hold themselves.
            self.made.insert(name.clone(), Value::Null);
            let schema = self.object(shown, side, false);
            self.made.insert(name, schema);
        }
        reference
    }

    /// As [`Schemas::message`], of a request as a form: files are parts of their own.
    pub(super) fn form(&mut self, shown: &Shown) -> Value {
        let name = format!("{}Form", self.names.of_message(shown, Side::Request));
        let reference = reference(&name);
        if !self.made.contains_key(&name) {
            let schema = self.object(shown, Side::Request, true);
            self.made.insert(name, schema);
        }
        reference
    }

    fn object(&mut self, shown: &Shown, side: Side, is_form: bool) -> Value {
        let message = &shown.message;
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in shown_fields(shown, side, self.info) {
            let is_file = is_form && matches!(field.kind(), Kind::Bytes);
            let mut schema = if is_file {
                json!({ "type": "string", "contentMediaType": "application/octet-stream" })
            } else {
                self.field(&field, side)
            };
            self.describe_field(&mut schema, &field);
            if is_required(&field, side) {
                required.push(Value::from(field.name()));
            }
            properties.insert(field.name().to_owned(), schema);
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        let file = message.parent_file();
        describe(&mut schema, self.comments.get(file.name(), message.path()));
        if !required.is_empty() {
            set(&mut schema, "required", required);
        }
        if side == Side::Request {
            set(&mut schema, "additionalProperties", false);
            let pairs = pairs_of_choices(shown);
            if !pairs.is_empty() {
                set(&mut schema, "allOf", pairs);
            }
        }
        schema
    }

    /// The schema of a field's value, without its description.
    pub(super) fn field(&mut self, field: &FieldDescriptor, side: Side) -> Value {
        let kind = field.kind();
        if let Some(entry) = kind.as_message().filter(|_| field.is_map()) {
            let value = self.kind(&entry.map_entry_value_field().kind(), side);
            return json!({ "type": "object", "additionalProperties": value });
        }
        let mut one = self.kind(&kind, side);
        if field.is_list() {
            return json!({ "type": "array", "items": one });
        }
        if side == Side::Request {
            narrow(&mut one, field);
        }
        one
    }

    fn kind(&mut self, kind: &Kind, side: Side) -> Value {
        match kind {
            Kind::Message(message) => self.message(&Shown::whole(message.clone()), side),
            Kind::Enum(kind) => self.enumeration(kind),
            kind => scalar(kind, side),
        }
    }

    fn enumeration(&mut self, kind: &EnumDescriptor) -> Value {
        let name = self.names.of_type(kind.full_name()).to_owned();
        let reference = reference(&name);
        if self.made.contains_key(&name) {
            return reference;
        }
        let file = kind.parent_file();
        let comment = self.comments.get(file.name(), kind.path());
        let mut lines: Vec<String> = comment.map(str::to_owned).into_iter().collect();
        let described = kind.values().filter_map(|value| {
            let comment = self.comments.get(file.name(), value.path())?;
            Some(format!("- `{}`: {comment}", value.name()))
        });
        let values: Vec<String> = described.collect();
        if !values.is_empty() {
            lines.push(values.join("\n"));
        }
        let names: Vec<Value> = kind.values().map(|value| value.name().into()).collect();
        let mut schema = json!({ "type": "string", "enum": names });
        let text = lines.join("\n\n");
        describe(
            &mut schema,
            Some(text.as_str()).filter(|text| !text.is_empty()),
        );
        self.made.insert(name, schema);
        reference
    }

    /// The field's comment, with what is said of the choice that it belongs to.
    pub(super) fn describe_field(&self, schema: &mut Value, field: &FieldDescriptor) {
        let file = field.parent_message().parent_file();
        let own = self.comments.get(file.name(), field.path());
        let choice = field.containing_oneof().filter(|one| !one.is_synthetic());
        let choice = choice.map(|one| {
            let names: Vec<String> = one
                .fields()
                .map(|field| format!("`{}`", field.name()))
                .collect();
            let comment = self.comments.get(file.name(), one.path());
            let comment = comment.map_or(String::new(), |comment| format!("{comment} "));
            format!("{comment}At most one of {} is there.", names.join(", "))
        });
        let parts: Vec<&str> = own.into_iter().chain(choice.as_deref()).collect();
        let text = parts.join(" ");
        describe(schema, Some(text.as_str()).filter(|text| !text.is_empty()));
        let is_text = matches!(field.kind(), Kind::String) && !field.is_list();
        if let Some(example) = example(&text).filter(|_| is_text) {
            set(schema, "examples", vec![Value::from(example)]);
        }
    }
}

/// The fields that one side shows.
pub(super) fn shown_fields(shown: &Shown, side: Side, info: &Info<'_>) -> Vec<FieldDescriptor> {
    let fields = shown.message.fields();
    let is_shown = |field: &FieldDescriptor| {
        let behavior = behavior(field);
        match side {
            Side::Request => {
                !shown.omitted.contains(field.name())
                    && !behavior.contains(&OUTPUT_ONLY)
                    && !is_set_by_server(field, info)
            }
            Side::Answer => !behavior.contains(&INPUT_ONLY),
        }
    };
    fields.filter(is_shown).collect()
}

/// Whether clients have nothing to say here.
pub(super) fn is_set_by_server(field: &FieldDescriptor, info: &Info<'_>) -> bool {
    let kind = field.kind();
    let message = kind.as_message();
    message.is_some_and(|message| info.set_by_server.contains(&message.full_name()))
}

/// Answers have all fields whose absence would say something else than their default value.
pub(super) fn is_required(field: &FieldDescriptor, side: Side) -> bool {
    match side {
        Side::Request => behavior(field).contains(&REQUIRED),
        Side::Answer => field.is_list() || field.is_map() || !field.supports_presence(),
    }
}

/// What a request's field takes of what its kind has.
fn narrow(schema: &mut Value, field: &FieldDescriptor) {
    let is_text = matches!(field.kind(), Kind::String);
    if is_text && is_required(field, Side::Request) {
        // An empty text is none.
        set(schema, "minLength", 1);
    }
    if matches!(field.kind(), Kind::Int32) && PAGE_SIZES.contains(&field.name()) {
        set(schema, "minimum", 0);
    }
}

/// That no two fields of one choice are there.
fn pairs_of_choices(shown: &Shown) -> Vec<Value> {
    let choices = shown.message.oneofs().filter(|one| !one.is_synthetic());
    let mut pairs = Vec::new();
    for choice in choices {
        let fields = choice.fields();
        let names = fields.map(|field| field.name().to_owned());
        let names: Vec<String> = names.filter(|name| !shown.omitted.contains(name)).collect();
        for (index, second) in names.iter().enumerate() {
            for first in names.iter().take(index) {
                pairs.push(json!({ "not": { "required": [first, second] } }));
            }
        }
    }
    pairs
}

/// What `google.api.field_behavior` says of a field.
fn behavior(field: &FieldDescriptor) -> BTreeSet<i32> {
    let message = field.parent_message();
    let pool = message.parent_pool();
    let Some(extension) = pool.get_extension_by_name("google.api.field_behavior") else {
        return BTreeSet::new();
    };
    numbers(field, &extension)
}

fn numbers(field: &FieldDescriptor, extension: &ExtensionDescriptor) -> BTreeSet<i32> {
    let options = field.options();
    let value = options.get_extension(extension);
    let values = value.as_list().unwrap_or_default();
    values.iter().filter_map(Field::as_enum_number).collect()
}

/// Messages whose JSON is not that of their fields.
fn well_known(full_name: &str) -> Option<Value> {
    let name = full_name.strip_prefix("google.protobuf.")?;
    Some(match name {
        "Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "Duration" => json!({
            "type": "string", "pattern": "^-?[0-9]{1,12}(\\.[0-9]{1,9})?s$", "examples": ["3.5s"],
        }),
        "FieldMask" => json!({
            "type": "string", "pattern": "^([A-Za-z0-9_.]+(,[A-Za-z0-9_.]+)*)?$",
        }),
        "Empty" | "Struct" | "Any" => json!({ "type": "object" }),
        _ => json!({}),
    })
}

/// Whether a message has no schema of its own.
pub(super) fn is_well_known(full_name: &str) -> bool {
    well_known(full_name).is_some()
}

/// Numbers of 64 bits are texts in answers; requests may have them as numbers, too.
fn scalar(kind: &Kind, side: Side) -> Value {
    let large = |format: &str, pattern: &str| match side {
        Side::Request => json!({
            "type": ["string", "integer"], "format": format, "pattern": pattern,
        }),
        Side::Answer => json!({ "type": "string", "format": format, "pattern": pattern }),
    };
    match kind {
        Kind::Double => json!({ "type": "number", "format": "double" }),
        Kind::Float => json!({ "type": "number", "format": "float" }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({
            "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX,
        }),
        Kind::Uint32 | Kind::Fixed32 => json!({
            "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX,
        }),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => large("int64", "^-?[0-9]{1,19}$"),
        Kind::Uint64 | Kind::Fixed64 => {
            let mut schema = large("uint64", "^[0-9]{1,20}$");
            if side == Side::Request {
                set(&mut schema, "minimum", 0);
            }
            schema
        }
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Bytes => {
            let mut schema = json!({ "type": "string", "contentEncoding": "base64" });
            if side == Side::Request {
                set(&mut schema, "pattern", BASE64);
            }
            schema
        }
        // The others have schemas of their own.
        Kind::String | Kind::Message(_) | Kind::Enum(_) => json!({ "type": "string" }),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn describe(schema: &mut Value, text: Option<&str>) {
    if let Some(text) = text {
        set(schema, "description", text);
    }
}

/// Sets a member of an object.
pub(super) fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value.into());
    }
}
