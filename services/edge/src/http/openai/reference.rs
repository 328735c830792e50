//! The picture to begin with, as these clients name it.

use serde_json::{Map, Value};

use crate::problem::Problem;

/// What these clients call it.
pub(super) const FIELD: &str = "input_reference";

/// What the contract calls it.
pub(super) const IMAGE: &str = "image";

/// Renames `input_reference: {"image_url": "data:…"}` to `image`, and leaves everything else as it is.
///
/// # Errors
/// A problem with the field `input_reference` when it holds no picture itself: nothing is fetched from elsewhere, and no
/// files are kept here.
pub(super) fn adapt(json: Value) -> Result<Value, Problem> {
    let Value::Object(mut members) = json else {
        return Ok(json);
    };
    match members.remove(FIELD) {
        None | Some(Value::Null) => {}
        Some(_) if members.get(IMAGE).is_some_and(|image| !image.is_null()) => {
            return Err(Problem::invalid(
                FIELD,
                "cannot be given together with `image`",
            ));
        }
        Some(Value::Object(reference)) => {
            members.insert(IMAGE.to_owned(), picture(reference)?);
        }
        Some(_) => {
            let detail = "must be an object with `image_url`, or a file of a form";
            return Err(Problem::invalid(FIELD, detail));
        }
    }
    Ok(Value::Object(members))
}

/// The data URL of a reference.
fn picture(mut reference: Map<String, Value>) -> Result<Value, Problem> {
    let present = |reference: &Map<String, Value>, name: &str| {
        reference.get(name).is_some_and(|value| !value.is_null())
    };
    if present(&reference, "file_id") {
        let detail = "cannot be a `file_id`, since no files are kept here; send the picture as a data URL in `image_url`";
        return Err(Problem::invalid(FIELD, detail));
    }
    let url = reference.remove("image_url");
    reference.remove("file_id");
    let is_data = |url: &str| {
        let scheme = url.get(..5);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
    };
    match url {
        Some(Value::String(url)) if is_data(&url) && reference.is_empty() => Ok(Value::String(url)),
        Some(Value::String(url)) if !is_data(&url) => {
            let detail =
                "must have a data URL in `image_url`; pictures are not fetched from elsewhere";
            Err(Problem::invalid(FIELD, detail))
        }
        _ => {
            let detail = "must have `image_url`, a data URL, and nothing else";
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
            json!({ "file_id": "file-secret" }),
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
