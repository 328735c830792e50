//! A request to generate, read strictly from JSON: every mistake is named, all at once.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinora_proto::scheduler::v1::SubmitRequest;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

/// The fields of a submission, in the order of the documentation.
const FIELDS: [&str; 11] = [
    "model",
    "prompt",
    "negative_prompt",
    "width",
    "height",
    "frames",
    "steps",
    "guidance",
    "seed",
    "image",
    "last_image",
];

/// The largest picture, before it is encoded.
const MAX_PICTURE_BYTES: usize = 16 << 20;

/// Why a body is not a submission.
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
    /// Name of the field.
    pub field: String,
    /// A sentence that says what was expected.
    pub detail: String,
}

/// Reads the body of `POST /v1/videos`. Limits of a model are left to the scheduler, which knows them.
///
/// # Errors
///
/// [`Rejected`], naming every field that is wrong.
pub fn parse(body: &[u8]) -> Result<SubmitRequest, Rejected> {
    let Object(members) =
        serde_json::from_slice(body).map_err(|error| Rejected::NotAnObject(error.to_string()))?;
    let mut fields = Fields {
        members,
        violations: Vec::new(),
    };
    let request = SubmitRequest {
        request_id: String::new(),
        model: fields.text("model").unwrap_or_default(),
        prompt: fields.required_text("prompt"),
        negative_prompt: fields.text("negative_prompt"),
        width: fields.whole_u32("width"),
        height: fields.whole_u32("height"),
        frames: fields.whole_u32("frames"),
        steps: fields.whole_u32("steps"),
        guidance: fields.number("guidance"),
        seed: fields.whole("seed", u64::MAX),
        image: fields.picture("image"),
        last_image: fields.picture("last_image"),
        ..SubmitRequest::default()
    };
    fields.finish()?;
    Ok(request)
}

/// Fields not read so far, and what was wrong with those that were.
struct Fields {
    members: BTreeMap<String, Value>,
    violations: Vec<Violation>,
}

impl Fields {
    fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.refuse(name, format!("must be a string, not {}", kind(&other))),
        }
    }

    fn required_text(&mut self, name: &str) -> String {
        let is_missing = self.members.get(name).is_none_or(Value::is_null);
        if is_missing {
            self.refuse::<()>(name, "is required".to_owned());
        }
        self.text(name).unwrap_or_default()
    }

    /// A file as base64, or as a data URL with base64 in it. Empty when absent.
    fn picture(&mut self, name: &str) -> Vec<u8> {
        let Some(text) = self.text(name) else {
            return Vec::new();
        };
        let encoded = match text.strip_prefix("data:") {
            Some(url) => url.split_once(";base64,").map(|(_, encoded)| encoded),
            None => Some(text.as_str()),
        };
        let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        match bytes {
            Some(bytes) if bytes.is_empty() => self.refuse(name, "must not be empty".to_owned()),
            Some(bytes) if bytes.len() > MAX_PICTURE_BYTES => self.refuse(
                name,
                "must be at most 16 MiB before it is encoded".to_owned(),
            ),
            Some(bytes) => Some(bytes),
            None => self.refuse(
                name,
                "must be a file in base64, or a data URL of one".to_owned(),
            ),
        }
        .unwrap_or_default()
    }

    fn whole_u32(&mut self, name: &str) -> Option<u32> {
        let value = self.whole(name, u64::from(u32::MAX))?;
        u32::try_from(value).ok()
    }

    fn whole(&mut self, name: &str, max: u64) -> Option<u64> {
        let detail = match self.take(name)? {
            Value::Number(number) => match number.as_u64() {
                Some(value) if value <= max => return Some(value),
                Some(_) => format!("must be at most {max}"),
                None if number.as_f64().is_some_and(|value| value < 0.0) => {
                    "must be 0 or more".to_owned()
                }
                None => format!("must be a whole number of at most {max}"),
            },
            other => format!("must be a whole number, not {}", kind(&other)),
        };
        self.refuse(name, detail)
    }

    fn number(&mut self, name: &str) -> Option<f64> {
        match self.take(name)? {
            Value::Number(number) => number.as_f64(),
            other => self.refuse(name, format!("must be a number, not {}", kind(&other))),
        }
    }

    /// A `null` means the same as an absent field.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    fn refuse<T>(&mut self, field: &str, detail: String) -> Option<T> {
        let field = field.to_owned();
        self.violations.push(Violation { field, detail });
        None
    }

    fn finish(mut self) -> Result<(), Rejected> {
        for name in std::mem::take(&mut self.members).into_keys() {
            let detail = format!("is not a field; the fields are {}", FIELDS.join(", "));
            self.refuse::<()>(&printable(&name), detail);
        }
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(Rejected::Fields(self.violations))
        }
    }
}

/// A JSON object in which no name stands twice.
struct Object(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.contains_key(&name) {
                let name = printable(&name);
                return Err(A::Error::custom(format!("the field `{name}` stands twice")));
            }
            members.insert(name, value);
        }
        Ok(Object(members))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts which fields are refused, and a word of each reason.
    #[track_caller]
    fn refuses(body: &str, expected: &[(&str, &str)]) {
        let Err(Rejected::Fields(violations)) = parse(body.as_bytes()) else {
            panic!("{body}: {:?}", parse(body.as_bytes()));
        };
        assert_eq!(violations.len(), expected.len(), "{violations:?}");
        for (violation, (field, word)) in violations.iter().zip(expected) {
            assert_eq!(violation.field, *field);
            assert!(violation.detail.contains(word), "{violation:?}");
        }
    }

    #[test]
    fn a_prompt_alone_leaves_every_other_field_unset() {
        let request = parse(br#"{"prompt":"a red ball"}"#).unwrap();
        let prompt = "a red ball".to_owned();
        assert_eq!(
            request,
            SubmitRequest {
                prompt,
                ..Default::default()
            }
        );
    }

    #[test]
    fn every_field_arrives() {
        let body = br#"{"model":"m","prompt":"p","negative_prompt":"","width":64,"height":48,
            "frames":17,"steps":8,"guidance":5,"seed":9007199254740991}"#;
        let request = parse(body).unwrap();
        assert_eq!(request.model, "m");
        assert_eq!(request.negative_prompt.as_deref(), Some(""));
        assert_eq!((request.width, request.height), (Some(64), Some(48)));
        assert_eq!((request.frames, request.steps), (Some(17), Some(8)));
        assert_eq!(request.guidance, Some(5.0));
        assert_eq!(request.seed, Some(9_007_199_254_740_991));
    }

    #[test]
    fn pictures_come_as_base64_or_as_a_data_url() {
        for text in ["aGVsbG8=", "data:image/png;base64,aGVsbG8="] {
            let body = format!(r#"{{"prompt":"p","image":"{text}"}}"#);
            let request = parse(body.as_bytes()).unwrap();
            assert_eq!(
                (&*request.image, &*request.last_image),
                (&b"hello"[..], &b""[..])
            );
        }
        refuses(
            r#"{"prompt":"p","image":"a b","last_image":"data:image/png,abc"}"#,
            &[("image", "base64"), ("last_image", "base64")],
        );
        refuses(
            r#"{"prompt":"p","image":"","last_image":7}"#,
            &[("image", "empty"), ("last_image", "string")],
        );
        let large = STANDARD.encode(vec![0; MAX_PICTURE_BYTES + 1]);
        refuses(
            &format!(r#"{{"prompt":"p","image":"{large}"}}"#),
            &[("image", "16 MiB")],
        );
    }

    #[test]
    fn null_means_unset() {
        assert_eq!(parse(br#"{"prompt":"p","seed":null}"#).unwrap().seed, None);
        refuses(r#"{"prompt":null}"#, &[("prompt", "required")]);
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        refuses(
            r#"{"width":-1,"height":1.5,"frames":4294967296,"steps":"8","guidance":"x","size":1}"#,
            &[
                ("prompt", "required"),
                ("width", "0 or more"),
                ("height", "whole"),
                ("frames", "at most 4294967295"),
                ("steps", "not a string"),
                ("guidance", "not a string"),
                ("size", "not a field"),
            ],
        );
    }

    #[test]
    fn seeds_are_whole() {
        refuses(r#"{"prompt":"p","seed":1.5}"#, &[("seed", "whole")]);
        refuses(r#"{"prompt":"p","seed":1e300}"#, &[("seed", "whole")]);
    }

    #[test]
    fn what_is_not_one_object_is_refused_as_a_whole() {
        let deep = format!("{{\"prompt\":{}1{}}}", "[".repeat(500), "]".repeat(500));
        for body in [
            "",
            "[]",
            "\"x\"",
            "{\"seed\":NaN}",
            "{} {}",
            "{\"a\":1,\"a\":2}",
            &deep,
        ] {
            let result = parse(body.as_bytes());
            assert!(
                matches!(result, Err(Rejected::NotAnObject(_))),
                "{body}: {result:?}"
            );
        }
        assert!(matches!(parse(b"\xff"), Err(Rejected::NotAnObject(_))));
    }
}
