//! The body of a request for a video, which has more than the message: what clients of the OpenAI API call the picture.

use serde_json::{Value, json};

/// The message, as it also stands in batches and sequences.
const MESSAGE: &str = "CreateVideoRequest";

/// The message as a body of its own.
const BODY: &str = "CreateVideoRequestBody";

/// Gives the bodies that are a request for a video a schema of their own, with `input_reference`.
pub(super) fn complete(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else {
        return;
    };
    let Some(mut body) = schemas.get(MESSAGE).cloned() else {
        return;
    };
    body["properties"]["input_reference"] =
        json!({ "$ref": "#/components/schemas/InputReference" });
    body["not"] = json!({ "required": ["image", "input_reference"] });
    schemas.insert(BODY.to_owned(), body);
    let Some(items) = document["paths"].as_object_mut() else {
        return;
    };
    for item in items.values_mut() {
        for operation in item
            .as_object_mut()
            .into_iter()
            .flat_map(|item| item.values_mut())
        {
            let schema =
                operation.pointer_mut("/requestBody/content/application~1json/schema/$ref");
            if let Some(schema) = schema.filter(|schema| **schema == reference(MESSAGE)) {
                *schema = reference(BODY);
            }
        }
    }
}

fn reference(name: &str) -> Value {
    json!(format!("#/components/schemas/{name}"))
}
