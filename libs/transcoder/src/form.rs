//! Forms: a request in `multipart/form-data` instead of JSON.

use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{FutureExt, stream};
use kinora_mesh::error::{Kind as ErrorKind, PublicError};
use multer::{Field, Multipart};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use crate::json::shown;
use crate::message::field_named;

/// More than the contract has fields.
const MAX_PARTS: usize = 32;

/// The longest text of a part that is no picture.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The largest picture.
const MAX_FILE_BYTES: usize = 16 << 20;

/// A picture in base64, with what stands before it in a data URL.
const MAX_ENCODED_BYTES: usize = MAX_FILE_BYTES.div_ceil(3) * 4 + 1024;

/// A form of a message, one of whose files some clients call otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// What the form says.
    pub message: &'a MessageDescriptor,
    /// What those clients call the file. Members of it, `name[member]`, become an object of this name.
    pub alias: &'a str,
    /// The field that such a file is.
    pub field: &'a str,
}

/// Reads a form into the JSON of its message: texts as they are, which canonical JSON takes for numbers as well, `true` and
/// `false` of fields of truth, files in base64. `content_type` is the header, which has the boundary.
///
/// # Errors
/// `InvalidArgument` with reason `BODY_INVALID` when it is no form, or has too many parts; `FIELD_INVALID` for a part that
/// cannot be taken.
pub fn read_form(form: Form<'_>, content_type: &str, body: Bytes) -> Result<Value, PublicError> {
    // All of the body is there, so that nothing waits.
    let read = form.read(content_type, body).now_or_never();
    read.unwrap_or_else(|| Err(invalid("the form cannot be read")))
}

impl Form<'_> {
    async fn read(self, content_type: &str, body: Bytes) -> Result<Value, PublicError> {
        let boundary = multer::parse_boundary(content_type);
        let boundary = boundary.map_err(|_| invalid("the form has no boundary"))?;
        let body = stream::iter([Ok::<_, Infallible>(body)]);
        let mut parts = Multipart::new(body, boundary);
        let mut members = Map::new();
        let mut count = 0;
        while let Some(part) = parts.next_field().await.map_err(unreadable)? {
            count += 1;
            if count > MAX_PARTS {
                let detail = format!("the form has more than {MAX_PARTS} parts");
                return Err(invalid(detail));
            }
            let (name, value) = self.read_part(part).await?;
            self.add(&mut members, name, value)?;
        }
        Ok(Value::Object(members))
    }

    /// The name of a field, and its value.
    async fn read_part(self, part: Field<'_>) -> Result<(String, Value), PublicError> {
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = part.file_name().is_some();
        let field = field_named(self.message, &name);
        let may_be_file = name == self.alias || field.as_ref().is_some_and(is_bytes);
        let bytes = part.bytes().await.map_err(unreadable)?;
        if is_file {
            if !may_be_file {
                return Err(wrong(&shown(&name), "cannot be a file"));
            }
            if bytes.len() > MAX_FILE_BYTES {
                let detail = format!("must not be larger than {MAX_FILE_BYTES} bytes");
                return Err(wrong(&name, detail));
            }
            let name = if name == self.alias {
                self.field.to_owned()
            } else {
                name
            };
            return Ok((name, Value::String(STANDARD.encode(&bytes))));
        }
        if name == self.alias {
            return Err(wrong(&name, "must be a file, or an object"));
        }
        let is_picture = may_be_file || self.member(&name).is_some();
        let text = read_text(
            &name,
            bytes,
            if is_picture {
                MAX_ENCODED_BYTES
            } else {
                MAX_TEXT_BYTES
            },
        )?;
        let is_truth = field.is_some_and(|field| matches!(field.kind(), Kind::Bool));
        let value = match text.as_str() {
            "true" | "false" if is_truth => Value::Bool(text == "true"),
            _ => Value::String(text),
        };
        Ok((name, value))
    }

    /// `alias[member]` is a member of an object.
    fn member(self, name: &str) -> Option<&str> {
        let member = name.strip_prefix(self.alias)?;
        member.strip_prefix('[')?.strip_suffix(']')
    }

    fn add(
        self,
        members: &mut Map<String, Value>,
        name: String,
        value: Value,
    ) -> Result<(), PublicError> {
        let former = match self.member(&name) {
            Some(member) => {
                let object = members
                    .entry(self.alias)
                    .or_insert_with(|| Value::Object(Map::new()));
                let object = object.as_object_mut();
                object.and_then(|object| object.insert(member.to_owned(), value))
            }
            None => members.insert(name.clone(), value),
        };
        match former {
            None => Ok(()),
            Some(_) => Err(wrong(&shown(&name), "is given twice")),
        }
    }
}

fn is_bytes(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Bytes) && !field.is_list()
}

fn read_text(name: &str, bytes: Bytes, max_bytes: usize) -> Result<String, PublicError> {
    if bytes.len() > max_bytes {
        let detail = format!("must not be longer than {max_bytes} bytes");
        return Err(wrong(&shown(name), detail));
    }
    String::from_utf8(bytes.into()).map_err(|_| wrong(&shown(name), "must be a text in UTF-8"))
}

fn unreadable(_: multer::Error) -> PublicError {
    invalid("the form cannot be read")
}

fn invalid(detail: impl Into<String>) -> PublicError {
    PublicError::new(ErrorKind::InvalidArgument, "BODY_INVALID", detail)
}

fn wrong(name: &str, detail: impl Into<String>) -> PublicError {
    let detail = detail.into();
    let message = format!("`{name}` {detail}");
    PublicError::new(ErrorKind::InvalidArgument, "FIELD_INVALID", message)
        .with_violation(name, detail)
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use serde_json::json;

    use super::*;

    /// A part: its name, the name of its file, and what is in it.
    type Part<'a> = (&'a str, Option<&'a str>, &'a [u8]);

    fn form(parts: &[Part<'_>]) -> Bytes {
        let mut body = Vec::new();
        for (name, file, content) in parts {
            let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
            let head =
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--b--\r\n");
        body.into()
    }

    fn read_as(content_type: &str, body: Bytes) -> Result<Value, PublicError> {
        let pool = DescriptorPool::decode(kinora_proto::DESCRIPTORS).unwrap();
        let message = pool.get_message_by_name("kinora.scheduler.v1.CreateVideoRequest");
        let form = Form {
            message: &message.unwrap(),
            alias: "input_reference",
            field: "image",
        };
        read_form(form, content_type, body)
    }

    fn of_parts(parts: &[Part<'_>]) -> Result<Value, PublicError> {
        read_as("multipart/form-data; boundary=b", form(parts))
    }

    #[test]
    fn a_form_is_read_as_the_json_of_the_contract() {
        let json = of_parts(&[
            ("prompt", None, "true ünd\r\nfalse".as_bytes()),
            ("model", None, b"true"),
            ("steps", None, b"12"),
            ("preview_first", None, b"true"),
            ("allowDuplicate", None, b"false"),
            ("input_reference", Some("a.png"), b"\x89PNG\r\n--x"),
            ("last_image", None, b"AAAA"),
            ("n", None, b"1"),
        ]);
        let expected = json!({
            "prompt": "true ünd\r\nfalse", "model": "true", "steps": "12", "preview_first": true,
            "allowDuplicate": false, "image": STANDARD.encode(b"\x89PNG\r\n--x"),
            "last_image": "AAAA", "n": "1",
        });
        assert_eq!(json.unwrap(), expected);
    }

    #[test]
    fn a_reference_in_brackets_is_an_object() {
        let url: &[u8] = b"data:image/png;base64,AAAA";
        let long = [url, "A".repeat(MAX_TEXT_BYTES).as_bytes()].concat();
        for url in [url, &long] {
            let json = of_parts(&[("input_reference[image_url]", None, url)]).unwrap();
            let url = std::str::from_utf8(url).unwrap();
            assert_eq!(json, json!({ "input_reference": { "image_url": url } }));
        }
    }

    #[track_caller]
    fn is_refused(result: &Result<Value, PublicError>, words: &[&str]) {
        let text = format!("{:?}", result.as_ref().unwrap_err());
        for word in words {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn parts_that_cannot_be_taken_are_named() {
        let check = |parts: &[Part<'_>], words: &[&str]| {
            is_refused(&of_parts(parts), words);
        };
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        check(
            &[("prompt", None, long.as_bytes())],
            &["prompt", "65536 bytes"],
        );
        let large = vec![0; MAX_FILE_BYTES + 1];
        let file = [("input_reference", Some("a"), large.as_slice())];
        check(&file, &["input_reference", "16777216 bytes"]);
        check(
            &[("prompt", Some("a"), b"x")],
            &["prompt", "cannot be a file"],
        );
        check(
            &[("input_reference", None, b"x")],
            &["input_reference", "must be a file"],
        );
        check(&[("prompt", None, b"\xff")], &["prompt", "UTF-8"]);
        let twice: [Part<'_>; 2] = [("prompt", None, b"x"), ("prompt", None, b"x")];
        check(&twice, &["prompt", "is given twice"]);
        let twice: [Part<'_>; 2] = [("image", None, b"x"), ("input_reference", Some("a"), b"x")];
        check(&twice, &["image", "is given twice"]);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let names: Vec<String> = (0..=MAX_PARTS).map(|index| format!("x{index}")).collect();
        let many: Vec<Part<'_>> = names
            .iter()
            .map(|name| (name.as_str(), None, &b""[..]))
            .collect();
        is_refused(&of_parts(&many), &["BODY_INVALID", "32 parts"]);
        for (content_type, body) in [
            ("multipart/form-data", &b"--b--"[..]),
            ("multipart/form-data; boundary=b", b""),
            ("multipart/form-data; boundary=b", b"{}"),
            ("multipart/form-data; boundary=b", b"--b\r\n\r\nx"),
            (
                "multipart/form-data; boundary=b",
                b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx",
            ),
        ] {
            let result = read_as(content_type, Bytes::from_static(body));
            is_refused(&result, &["BODY_INVALID"]);
        }
    }
}
