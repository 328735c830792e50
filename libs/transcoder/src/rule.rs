//! Rules of `google.api.http` as routes.

use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value,
};

use crate::route::{Body, Route};
use crate::routes::InvalidRoutes;
use crate::template::Template;

/// The routes of a method: that of its rule, and those of the rule's other bindings.
pub(crate) fn routes_of(
    pool: &DescriptorPool,
    method: &MethodDescriptor,
) -> Result<Vec<Route>, InvalidRoutes> {
    let Some(extension) = pool.get_extension_by_name("google.api.http") else {
        return Ok(Vec::new());
    };
    let options = method.options();
    if !options.has_extension(&extension) {
        return Ok(Vec::new());
    }
    let rule = options.get_extension(&extension).into_owned();
    let Value::Message(rule) = rule else {
        return Ok(Vec::new());
    };
    let wrong = |problem: String| InvalidRoutes::Route {
        method: method.full_name().to_owned(),
        problem,
    };
    let mut routes = vec![route_of(method, &rule).map_err(wrong)?];
    for rule in bindings(&rule) {
        if !bindings(&rule).is_empty() {
            return Err(wrong("an additional binding has bindings".to_owned()));
        }
        routes.push(route_of(method, &rule).map_err(wrong)?);
    }
    Ok(routes)
}

fn bindings(rule: &DynamicMessage) -> Vec<DynamicMessage> {
    let more = rule.get_field_by_name("additional_bindings");
    let more = more.as_deref().and_then(Value::as_list).unwrap_or_default();
    more.iter().filter_map(Value::as_message).cloned().collect()
}

fn route_of(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Route, String> {
    if method.is_client_streaming() {
        return Err("a client stream has no place in HTTP".to_owned());
    }
    let (verb, path) = pattern(rule)?;
    let template = Template::parse(&path).map_err(|error| error.to_string())?;
    let input = method.input();
    for field in template.fields() {
        check_variable(&input, field)?;
    }
    let body = match text(rule, "body").as_str() {
        "" => Body::None,
        "*" => Body::Whole,
        name => Body::Field(field_of(&input, name)?),
    };
    let response = match text(rule, "response_body").as_str() {
        "" => None,
        name => Some(message_field_of(&method.output(), name)?),
    };
    let call = format!("/{}/{}", method.parent_service().full_name(), method.name());
    Ok(Route {
        template,
        body,
        response,
        method: method.clone(),
        verb,
        call: PathAndQuery::try_from(call).map_err(|error| error.to_string())?,
    })
}

fn pattern(rule: &DynamicMessage) -> Result<(Method, String), String> {
    let verbs = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    let mut patterns = verbs.into_iter().filter_map(|(field, verb)| {
        let path = text(rule, field);
        (!path.is_empty()).then_some((verb, path))
    });
    patterns
        .next()
        .ok_or_else(|| "it has no pattern".to_owned())
}

fn text(rule: &DynamicMessage, field: &str) -> String {
    let value = rule.get_field_by_name(field);
    let text = value.as_deref().and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn field_of(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    let field = message.get_field_by_name(name);
    field.ok_or_else(|| format!("{} has no field {name}", message.full_name()))
}

/// A field that is one message.
fn message_field_of(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    let field = field_of(message, name)?;
    let is_message = field.kind().as_message().is_some() && !field.is_list() && !field.is_map();
    is_message
        .then_some(field)
        .ok_or_else(|| format!("{name} is no message"))
}

/// A dotted path of single messages to a single value.
fn check_variable(message: &MessageDescriptor, path: &str) -> Result<(), String> {
    let Some((name, rest)) = path.split_once('.') else {
        let field = field_of(message, path)?;
        let is_value = field.kind().as_message().is_none() && !field.is_list();
        return is_value
            .then_some(())
            .ok_or_else(|| format!("{path} is no single value"));
    };
    let field = message_field_of(message, name)?;
    match field.kind().as_message() {
        Some(inner) => check_variable(inner, rest),
        None => Err(format!("{path} goes through no message")),
    }
}
