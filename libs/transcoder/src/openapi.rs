//! OpenAPI 3.1 from the contracts: the same descriptors that routes come from, and the comments beside them.
//!
//! An operation is a route, a schema is a message as its canonical JSON. What no contract says (how errors look, who
//! calls, paths that are answered by hand) is the user's, who gives it as a piece of the document to merge.

mod comments;
mod names;
mod operation;
mod schema;

use std::collections::BTreeSet;

use prost_reflect::{FieldDescriptor, MessageDescriptor};
use serde_json::{Map, Value, json};

use self::comments::Comments;
use self::names::Names;
use self::operation::Operations;
use self::schema::Schemas;
use crate::{Route, Transcoder};

/// What the contracts do not say of the interface.
#[derive(Clone, Copy)]
pub struct Info<'a> {
    /// Name of the interface.
    pub title: &'a str,
    /// Its version.
    pub version: &'a str,
    /// What it is, in Markdown.
    pub description: &'a str,
    /// What a route needs of its caller.
    pub needs: &'a dyn Fn(&Route) -> Needs,
    /// Full names of messages that the server fills in itself. Fields of these types are not shown in requests.
    pub set_by_server: &'a [&'a str],
    /// Headers that stand for fields: the field of the input, and the name in `components.parameters`. A header without a
    /// field goes with every call.
    pub headers: &'a [(&'a str, &'a str)],
    /// Headers of answers, and their names in `components.headers`.
    pub answer_headers: &'a [(&'a str, &'a str)],
    /// What any call may be answered with: a status, and the name in `components.responses`.
    pub answers: &'a [(&'a str, &'a str)],
}

/// What an operation needs of its caller.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The operation's `security`: ways to say who calls, any of which will do, by their names in
    /// `components.securitySchemes` and with the roles that they must give. Empty where strangers may call.
    pub security: Vec<Value>,
    /// The same in words, for the end of the description. Errors are found in it as in a method's comment.
    pub words: String,
}

/// Writes down all routes, and merges each of `more` into that: objects are joined, lists are appended, and anything else
/// replaces what is there.
///
/// In `more` there are at least the components that operations refer to: the response `Problem`, which is how errors are
/// answered; the response `NotModified`, the header `EntityTag` and the parameter `IfNoneMatch` of what has entity tags;
/// the parameters of [`Info::headers`]; and the headers and responses of [`Info::answer_headers`] and [`Info::answers`].
#[must_use]
pub fn document(routes: &Transcoder, info: &Info<'_>, more: &[Value]) -> Value {
    let pool = routes.routes().first().map(|route| {
        let method = route.descriptor();
        method.parent_pool().clone()
    });
    let comments = pool.as_ref().map(Comments::of).unwrap_or_default();
    let names = Names::of(routes.routes(), info);
    let schemas = Schemas::new(&names, &comments, info);
    let mut operations = Operations::new(schemas, &names, &comments, info);
    let mut routes: Vec<&Route> = routes.routes().iter().collect();
    routes.sort_by_key(|route| (route.path(), route.verb().to_string()));
    for route in &routes {
        operations.add(route);
    }
    let (paths, schemas) = operations.done();
    let mut document = json!({
        "openapi": "3.1.1",
        "info": { "title": info.title, "version": info.version, "description": info.description },
        "tags": tags(&routes, &names, &comments),
        "paths": paths,
        "components": { "schemas": schemas },
    });
    for more in more {
        merge(&mut document, more);
    }
    document
}

/// One a service, by name.
fn tags(routes: &[&Route], names: &Names, comments: &Comments) -> Value {
    let mut tags = Map::new();
    for route in routes {
        let service = route.descriptor().parent_service();
        let name = names.tag(service.full_name());
        let file = service.parent_file();
        let comment = comments.get(file.name(), service.path());
        let mut tag = json!({ "name": name });
        if let (Some(comment), Some(tag)) = (comment, tag.as_object_mut()) {
            tag.insert("description".to_owned(), comment.into());
        }
        tags.insert(name.to_owned(), tag);
    }
    tags.into_iter().map(|(_, tag)| tag).collect()
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(more)) => into.extend(more.iter().cloned()),
        (into, more) => *into = more.clone(),
    }
}

/// A message that a body holds, without the fields that come by another way.
#[derive(Clone)]
struct Shown {
    message: MessageDescriptor,
    omitted: BTreeSet<String>,
}

/// What a route's body is, if it takes one.
enum BodyShape {
    /// A message.
    Message(Shown),
    /// A field that is no message.
    Field(FieldDescriptor),
}

fn body_of(route: &Route) -> Option<BodyShape> {
    if !route.takes_body() {
        return None;
    }
    let input = route.descriptor().input();
    let variables = route.variables();
    let Some(name) = route.body_field() else {
        let omitted = variables.iter().map(|name| (*name).to_owned()).collect();
        return Some(BodyShape::Message(Shown {
            message: input,
            omitted,
        }));
    };
    let field = input.get_field_by_name(name)?;
    let kind = field.kind();
    let message = kind.as_message().filter(|message| {
        !schema::is_well_known(message.full_name()) && !field.is_list() && !field.is_map()
    });
    let Some(message) = message else {
        return Some(BodyShape::Field(field));
    };
    let inside = format!("{name}.");
    let within = |variable: &&str| variable.strip_prefix(&inside).map(str::to_owned);
    Some(BodyShape::Message(Shown {
        message: message.clone(),
        omitted: variables.iter().filter_map(within).collect(),
    }))
}

#[cfg(test)]
mod tests;
