//! Requests as messages.

use kinora_mesh::error::{Kind, PublicError};
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage, Value,
};
use serde_json::{Map, Value as Json};

use crate::routes::{Body, Found};

impl Found<'_> {
    /// Makes the method's message of path, query and body. Names in the body are those of the contract or their camel case.
    ///
    /// # Errors
    /// `InvalidArgument` with reason `BODY_INVALID`, `QUERY_INVALID` or `FIELD_INVALID`.
    pub fn message(&self, query: Option<&str>, body: &[u8]) -> Result<DynamicMessage, PublicError> {
        let input = self.route.method.input();
        let mut object = self.object(body)?;
        for (field, value) in &self.variables {
            insert(&mut object, &input, field, value)?;
        }
        if self.route.body != Body::Whole {
            for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
                insert(&mut object, &input, &name, &value)?;
            }
        } else if query.is_some_and(|query| !query.is_empty()) {
            return Err(invalid("QUERY_INVALID", "this call takes no query"));
        }
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        DynamicMessage::deserialize_with_options(input, Json::Object(object), &options)
            .map_err(|error| invalid("FIELD_INVALID", error.to_string()))
    }

    fn object(&self, body: &[u8]) -> Result<Map<String, Json>, PublicError> {
        if self.route.body == Body::None {
            let is_empty = body.is_empty();
            return if is_empty {
                Ok(Map::new())
            } else {
                Err(invalid("BODY_INVALID", "this call takes no body"))
            };
        }
        // No body is an empty one.
        let body = if body.is_empty() { b"{}" } else { body };
        let json: Json = serde_json::from_slice(body)
            .map_err(|error| invalid("BODY_INVALID", format!("the body is no JSON: {error}")))?;
        match (&self.route.body, json) {
            (Body::Field(field), json) => Ok(Map::from_iter([(field.clone(), json)])),
            (_, Json::Object(object)) => Ok(object),
            _ => Err(invalid("BODY_INVALID", "the body is no JSON object")),
        }
    }
}

/// Sets a field that is a message, if the message has one of this name and type, to what its user knows better than the
/// client: values are its fields and texts.
///
/// Returns whether there is one.
pub fn set_message(
    message: &mut DynamicMessage,
    field: &str,
    type_name: &str,
    values: &[(&str, String)],
) -> bool {
    let Some(field) = message.descriptor().get_field_by_name(field) else {
        return false;
    };
    let kind = field.kind();
    let Some(inner) = kind
        .as_message()
        .filter(|inner| inner.full_name() == type_name)
    else {
        return false;
    };
    let mut made = DynamicMessage::new(inner.clone());
    for (name, value) in values {
        made.set_field_by_name(name, Value::String(value.clone()));
    }
    message.set_field(&field, Value::Message(made));
    true
}

/// Puts the value of a dotted field into a JSON object.
fn insert(
    object: &mut Map<String, Json>,
    message: &MessageDescriptor,
    path: &str,
    text: &str,
) -> Result<(), PublicError> {
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message
        .get_field_by_name(name)
        .or_else(|| message.get_field_by_json_name(name))
        .ok_or_else(|| invalid("QUERY_INVALID", format!("there is no field `{path}`")))?;
    let known = field.name().to_owned();
    if object.contains_key(field.json_name()) && field.json_name() != known {
        return Err(twice(path));
    }
    if let Some(rest) = rest {
        let kind = field.kind();
        let inner = kind
            .as_message()
            .filter(|_| !field.is_list() && !field.is_map());
        let inner =
            inner.ok_or_else(|| invalid("QUERY_INVALID", format!("`{path}` is no field")))?;
        let value = object
            .entry(known)
            .or_insert_with(|| Json::Object(Map::new()));
        let Json::Object(inside) = value else {
            return Err(twice(path));
        };
        return insert(inside, inner, rest, text);
    }
    let value = scalar(&field, text)?;
    if field.is_list() {
        let list = object
            .entry(known)
            .or_insert_with(|| Json::Array(Vec::new()));
        let Json::Array(list) = list else {
            return Err(twice(path));
        };
        list.push(value);
        return Ok(());
    }
    match object.insert(known, value) {
        None => Ok(()),
        Some(_) => Err(twice(path)),
    }
}

/// The canonical JSON takes texts for everything but booleans.
fn scalar(field: &FieldDescriptor, text: &str) -> Result<Json, PublicError> {
    if !matches!(field.kind(), prost_reflect::Kind::Bool) {
        return Ok(Json::String(text.to_owned()));
    }
    let value = text.parse::<bool>();
    let expected = || format!("`{}` is true or false", field.name());
    value
        .map(Json::Bool)
        .map_err(|_| invalid("QUERY_INVALID", expected()))
}

fn twice(path: &str) -> PublicError {
    invalid("FIELD_INVALID", format!("`{path}` is given twice"))
}

fn invalid(reason: &str, message: impl Into<String>) -> PublicError {
    PublicError::new(Kind::InvalidArgument, reason, message)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::{Transcoder, to_json};

    const SERVICES: [&str; 2] = [
        "kinora.accounts.v1.AdminService",
        "kinora.accounts.v1.OrganisationService",
    ];

    fn read(verb: Method, uri: &str, body: &str) -> Result<Json, PublicError> {
        let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap();
        let (path, query) = uri
            .split_once('?')
            .map_or((uri, None), |(p, q)| (p, Some(q)));
        let found = transcoder.find(&verb, path).unwrap();
        let message = found.message(query, body.as_bytes())?;
        Ok(serde_json::from_slice(&to_json(&message).unwrap()).unwrap())
    }

    #[test]
    fn path_and_body_make_one_message() {
        let path = "/v1/organisations/o1/members/u1";
        let json = read(Method::PATCH, path, r#"{"role": "ROLE_ADMIN"}"#).unwrap();
        let expected = serde_json::json!({
            "organisation_id": "o1", "user_id": "u1", "role": "ROLE_ADMIN",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_query_reaches_into_messages() {
        let uri =
            "/v1/admin/audit?filter.actor=a%20b&page_size=7&filter.since=2026-01-01T00:00:00Z";
        let json = read(Method::GET, uri, "").unwrap();
        assert_eq!(json["filter"]["actor"], "a b");
        assert_eq!(json["filter"]["since"], "2026-01-01T00:00:00Z");
        assert_eq!(json["page_size"], 7);
        assert_eq!(json["filter"]["action"], "", "default values are there");
    }

    #[track_caller]
    fn refuses(verb: Method, uri: &str, body: &str, reason: &str) {
        let error = read(verb, uri, body).expect_err("is refused");
        assert_eq!(
            (error.kind, error.reason.as_str()),
            (Kind::InvalidArgument, reason)
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let members = "/v1/organisations/o1/members/u1";
        refuses(Method::PATCH, members, "{", "BODY_INVALID");
        refuses(Method::PATCH, members, "[]", "BODY_INVALID");
        refuses(Method::PATCH, members, "\u{0}", "BODY_INVALID");
        refuses(
            Method::PATCH,
            members,
            r#"{"user_id": "u2"}"#,
            "FIELD_INVALID",
        );
        refuses(
            Method::PATCH,
            members,
            r#"{"userId": "u2"}"#,
            "FIELD_INVALID",
        );
        refuses(Method::PATCH, members, r#"{"nothing": 1}"#, "FIELD_INVALID");
        refuses(
            Method::PATCH,
            members,
            r#"{"role": "NO_ROLE"}"#,
            "FIELD_INVALID",
        );
        refuses(
            Method::PATCH,
            &format!("{members}?role=1"),
            "{}",
            "QUERY_INVALID",
        );
        refuses(
            Method::GET,
            "/v1/admin/users?nothing=1",
            "",
            "QUERY_INVALID",
        );
        refuses(
            Method::GET,
            "/v1/admin/users?page_size=x",
            "",
            "FIELD_INVALID",
        );
        refuses(
            Method::GET,
            "/v1/admin/users?page_size=1&page_size=2",
            "",
            "FIELD_INVALID",
        );
        refuses(Method::GET, "/v1/admin/users", "{}", "BODY_INVALID");
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        refuses(Method::PATCH, members, &deep, "BODY_INVALID");
    }

    #[test]
    fn what_the_edge_knows_replaces_what_a_client_says() {
        let transcoder = Transcoder::new(
            kinora_proto::DESCRIPTORS,
            &["kinora.accounts.v1.AuthService"],
        )
        .unwrap();
        let found = transcoder.find(&Method::POST, "/v1/auth:signIn").unwrap();
        let body = br#"{"email": "a@b.c", "origin": {"address": "10.0.0.1"}}"#;
        let mut message = found.message(None, body).unwrap();
        let origin = [("address", "192.0.2.7".to_owned())];
        assert!(set_message(
            &mut message,
            "origin",
            "kinora.accounts.v1.Origin",
            &origin
        ));
        assert!(!set_message(
            &mut message,
            "email",
            "kinora.accounts.v1.Origin",
            &origin
        ));
        let json: Json = serde_json::from_slice(&to_json(&message).unwrap()).unwrap();
        assert_eq!(json["origin"]["address"], "192.0.2.7");
    }
}
