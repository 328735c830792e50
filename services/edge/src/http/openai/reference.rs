//! The picture to begin with, as these clients name it.

use serde_json::{Map, Value};

use crate::problem::Problem;

/// What these clients call it.
pub(super) const FIELD: &str = "input_reference";

/// What the contract calls it.
pub(super) const IMAGE: &str = "image";

/// What the contract calls a picture that was uploaded before.
const UPLOAD: &str = "image_upload";

/// Renames `input_reference: {"image_url": "data:…"}` to `image` and `input_reference: {"file_id": "…"}` to `image_upload`,
/// and leaves everything else as it is.
///
/// # Errors
/// A problem with the field `input_reference` when it is neither a picture nor an upload: nothing is fetched from elsewhere.
pub(super) fn adapt(json: Value) -> Result<Value, Problem> {
    let Value::Object(mut members) = json else {
        return Ok(json);
    };
    match members.remove(FIELD) {
        None | Some(Value::Null) => {}
        Some(_)
            if [IMAGE, UPLOAD, "imageUpload"]
                .iter()
                .any(|it| is_there(&members, it)) =>
        {
            return Err(Problem::invalid(
                FIELD,
                "cannot be given together with `image` or `image_upload`",
            ));
        }
        Some(Value::Object(reference)) => {
            let (name, value) = field_of(reference)?;
            members.insert(name.to_owned(), value);
        }
        Some(_) => {
            let detail = "must be an object with `image_url` or `file_id`, or a file of a form";
            return Err(Problem::invalid(FIELD, detail));
        }
    }
    Ok(Value::Object(members))
}

fn is_there(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_some_and(|value| !value.is_null())
}

/// The field of the contract that a reference stands for, and its value: the data URL, or the id of an upload.
fn field_of(mut reference: Map<String, Value>) -> Result<(&'static str, Value), Problem> {
    reference.retain(|_, value| !value.is_null());
    match reference.remove("file_id") {
        Some(Value::String(id)) if reference.is_empty() && !id.is_empty() => {
            Ok((UPLOAD, Value::String(id)))
        }
        Some(_) => {
            let detail = "must have `file_id`, the id of an upload, and nothing else";
            Err(Problem::invalid(FIELD, detail))
        }
        None => Ok((IMAGE, picture(reference)?)),
    }
}

/// The data URL of a reference.
fn picture(mut reference: Map<String, Value>) -> Result<Value, Problem> {
    let url = reference.remove("image_url");
    let is_data = |url: &str| {
        let scheme = url.get(..5);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
    };
    match url {
        Some(Value::String(url)) if is_data(&url) && reference.is_empty() => Ok(Value::String(url)),
        Some(Value::String(url)) if !is_data(&url) => {
            let detail = "must have a data URL in `image_url`, or an upload in `file_id`; pictures are not fetched from elsewhere";
            Err(Problem::invalid(FIELD, detail))
        }
        _ => {
            let detail = "must have `image_url`, a data URL, or `file_id`, and nothing else";
            Err(Problem::invalid(FIELD, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_data_url_becomes_the_first_picture() {
        let url = "data:image/png;base64,AAAA";
        let sent = json!({ "prompt": "a cat", "input_reference": { "image_url": url } });
        let expected = json!({ "prompt": "a cat", "image": url });
        assert_eq!(adapt(sent).unwrap(), expected);
    }

    #[test]
    fn the_id_of_an_upload_becomes_the_upload() {
        for reference in [
            json!({ "file_id": "1-2" }),
            json!({ "file_id": "1-2", "image_url": null }),
        ] {
            let sent = json!({ "prompt": "a cat", "input_reference": reference });
            let expected = json!({ "prompt": "a cat", "image_upload": "1-2" });
            assert_eq!(adapt(sent).unwrap(), expected);
        }
        for upload in ["image_upload", "imageUpload"] {
            let both = json!({ upload: "1-2", "input_reference": { "file_id": "1-2" } });
            assert!(adapt(both).is_err(), "{upload}");
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for json in [
            json!({ "prompt": "a cat", "n": 1, "image": "AAAA" }),
            json!([1]),
            json!(null),
        ] {
            assert_eq!(adapt(json.clone()).unwrap(), json);
        }
        let none = json!({ "prompt": "a cat", "input_reference": null });
        assert_eq!(adapt(none).unwrap(), json!({ "prompt": "a cat" }));
    }

    #[test]
    fn what_is_elsewhere_is_refused_without_being_repeated() {
        for reference in [
            json!({ "file_id": ["file-secret"] }),
            json!({ "file_id": "" }),
            json!({ "image_url": "https://a.example/secret.png" }),
            json!({ "image_url": "data:,", "file_id": "file-secret" }),
            json!({ "image_url": "data:,", "secret": 1 }),
            json!({ "image_url": 1 }),
            json!({}),
            json!("data:,secret"),
            json!(["secret"]),
        ] {
            let problem = adapt(json!({ "input_reference": reference })).unwrap_err();
            let text = format!("{problem:?}");
            assert!(
                text.contains("input_reference") && !text.contains("secret"),
                "{text}"
            );
        }
        let both = json!({ "image": "AAAA", "input_reference": { "image_url": "data:," } });
        assert!(adapt(both).is_err());
    }
}
