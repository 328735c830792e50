//! Paths, percent-encoded, and the routes that they find.
//!
//! A byte picks the verb, and the rest is the path.

use http::Method;
use kinora_transcoder::{Found, Miss};
use serde_json::{Value, json};

use crate::{ROUTES, check_message, verb, with_values};

/// Whether it was of interest.
///
/// # Panics
/// When something does not hold.
#[must_use]
pub fn path(data: &[u8]) -> bool {
    let Some((first, path)) = data.split_first() else {
        return false;
    };
    let Ok(path) = std::str::from_utf8(path) else {
        return false;
    };
    match ROUTES.find(&verb(*first), path) {
        Ok(found) => check_found(&found, path),
        Err(Miss::Path) => {}
        Err(Miss::Verb(allowed)) => check_allowed(&allowed, path),
    }
    true
}

/// The path of the values that were found leads to the same route, with the same values.
fn check_found(found: &Found<'_>, path: &str) {
    let Ok(message) = found.message_of(None, json!({})) else {
        // A variable that is no text, such as a number, and a part of the path that is none.
        return;
    };
    let json = check_message(&message);
    let again = with_values(&found.route.path(), |name| encoded(&json, name));
    let again_found = ROUTES.find(found.route.verb(), &again);
    let again_found = again_found.unwrap_or_else(|miss| panic!("{path} is not {again}: {miss:?}"));
    assert_eq!(
        found.route.method(),
        again_found.route.method(),
        "{path} is not {again}"
    );
    let again_message = again_found.message_of(None, json!({}));
    assert_eq!(
        again_message.as_ref(),
        Ok(&message),
        "{path} is not {again}"
    );
}

/// The value of a variable, every byte of it percent-encoded.
fn encoded(message: &Value, variable: &str) -> String {
    let pointer = format!("/{}", variable.replace('.', "/"));
    let value = message.pointer(&pointer).and_then(Value::as_str);
    let bytes = value.unwrap_or_default().bytes();
    bytes.map(|byte| format!("%{byte:02X}")).collect()
}

/// What a miss allows is found.
fn check_allowed(allowed: &str, path: &str) {
    for verb in allowed.split(", ") {
        let verb: Method = verb.parse().expect("a verb");
        let found = ROUTES.find(&verb, path).expect("an allowed verb");
        assert_eq!(*found.route.verb(), verb);
    }
}
