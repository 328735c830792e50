//! What has to hold of every request, whatever it is: a function a target, each of which takes any bytes.
//!
//! `fuzz_targets` hands them to libFuzzer, and `tests` the seeds. Targets return whether an input was of interest, and panic
//! when something does not hold.

mod json;
mod moderation;
mod multipart;
mod path;
mod prompt;
mod query;

use std::sync::LazyLock;

use http::Method;
use kinora_transcoder::{DynamicMessage, Found, Transcoder, to_json};
use prost::Message;
use prost_reflect::{DescriptorPool, ReflectMessage};
use serde_json::Value;

pub use self::json::json;
pub use self::moderation::moderation;
pub use self::multipart::multipart;
pub use self::path::path;
pub use self::prompt::prompt;
pub use self::query::query;

/// All routes of all services.
pub(crate) static ROUTES: LazyLock<Transcoder> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(kinora_proto::DESCRIPTORS).expect("the contracts");
    let names: Vec<String> = pool
        .services()
        .map(|service| service.full_name().to_owned())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Transcoder::new(kinora_proto::DESCRIPTORS, &names).expect("routes")
});

/// One request for every route, in the order of the contracts; only of routes with a body, or only of those that take a
/// query.
pub(crate) fn requests(of: Reading) -> Vec<Found<'static>> {
    let routes = ROUTES.routes().iter();
    let asked = routes.filter(|route| match of {
        Reading::Body => route.takes_body(),
        Reading::Query => !route.takes_body() || route.body_field().is_some(),
    });
    asked
        .map(|route| {
            let path = with_values(&route.path(), |_| "a1".to_owned());
            ROUTES.find(route.verb(), &path).expect("its own route")
        })
        .collect()
}

/// What of a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The query.
    Query,
    /// The body.
    Body,
}

/// The first byte picks one of the items, and the rest is the input. None when there is no byte.
pub(crate) fn pick<'a, 'b, T>(items: &'a [T], data: &'b [u8]) -> Option<(&'a T, &'b [u8])> {
    let (first, rest) = data.split_first()?;
    let item = items.get(usize::from(*first) % items.len())?;
    Some((item, rest))
}

/// The path of a template of single variables, with these values. What `{name=text}` says itself stays as it is.
///
/// # Panics
/// When a brace is not closed, which templates are not.
pub(crate) fn with_values(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (variable, after) = after.split_once('}').expect("a closed brace");
        path.push_str(before);
        match variable.split_once('=') {
            Some((_, text)) => path.push_str(text),
            None => path.push_str(&value(variable)),
        }
        rest = after;
    }
    path + rest
}

/// What was taken goes on to a service, and can be told in JSON.
///
/// # Panics
/// When it cannot, or when a service would read something else.
pub(crate) fn check_message(message: &DynamicMessage) -> Value {
    let bytes = message.encode_to_vec();
    let read = DynamicMessage::decode(message.descriptor(), bytes.as_slice());
    let read = read.expect("a message that can be read again");
    // As bytes: a field that was given its default says the same as one that was left out.
    assert_eq!(read.encode_to_vec(), bytes, "{message:?} became {read:?}");
    let json = to_json(message).expect("a message in JSON");
    serde_json::from_slice(&json).expect("JSON")
}

/// As a request: the verb of a byte.
pub(crate) fn verb(byte: u8) -> Method {
    let verbs = [
        Method::GET,
        Method::POST,
        Method::PATCH,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
    ];
    verbs[usize::from(byte) % verbs.len()].clone()
}
