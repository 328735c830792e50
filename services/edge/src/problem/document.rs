//! What a problem looks like on the wire. Clients written in Rust read it back through the same types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A field, header or parameter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Its name.
    pub field: String,
    /// A sentence that says what was expected.
    pub detail: String,
}

/// The body of an `application/problem+json` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDocument {
    /// URL that names the reason.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A sentence for the caller.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// UPPER_SNAKE reason, the same as over gRPC.
    pub reason: String,
    /// Every dynamic part of the detail.
    pub metadata: BTreeMap<String, String>,
    /// The fields that are wrong.
    pub errors: Vec<FieldError>,
    /// Names this request in the logs.
    pub request_id: String,
    /// The same in the form that clients of the OpenAI API read.
    #[serde(default)]
    pub error: ErrorObject,
}

/// An error in the form of the OpenAI API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorObject {
    /// A sentence for the caller, with the first field that is wrong.
    pub message: String,
    /// The class of the error, for example `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The first field that is wrong. Null when there is none.
    pub param: Option<String>,
    /// UPPER_SNAKE reason.
    pub code: String,
}
