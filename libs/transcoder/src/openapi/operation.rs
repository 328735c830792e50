//! Routes as operations.

use std::collections::HashMap;

use http::Method;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Field};
use serde_json::{Map, Value, json};

use super::comments::{self, Comments};
use super::names::{Names, Side, in_words};
use super::schema::{Schemas, is_required, is_set_by_server, is_well_known, set};
use super::{BodyShape, Info, Shown, body_of};
use crate::Route;

/// How many messages a parameter's name may go through.
pub(super) const DEEPEST: usize = 4;

/// All operations, by path and verb.
pub(super) struct Operations<'a> {
    schemas: Schemas<'a>,
    names: &'a Names,
    comments: &'a Comments,
    info: &'a Info<'a>,
    paths: Map<String, Value>,
    /// Paths that were written first, by their shape: equal shapes are one path, whatever their variables are called.
    by_shape: HashMap<String, Vec<String>>,
}

impl<'a> Operations<'a> {
    pub(super) fn new(
        schemas: Schemas<'a>,
        names: &'a Names,
        comments: &'a Comments,
        info: &'a Info<'a>,
    ) -> Self {
        Self {
            schemas,
            names,
            comments,
            info,
            paths: Map::new(),
            by_shape: HashMap::new(),
        }
    }

    /// The paths, and the schemas that they need.
    pub(super) fn done(self) -> (Map<String, Value>, Map<String, Value>) {
        (self.paths, self.schemas.done())
    }

    /// Writes a route down.
    pub(super) fn add(&mut self, route: &Route) {
        let variables = self.path_names(route);
        let path = with_variables(&route.path(), &variables);
        let operation = self.operation(route, &variables);
        let verb = route.verb().as_str().to_ascii_lowercase();
        let item = self.paths.entry(path).or_insert_with(|| json!({}));
        set(item, &verb, operation);
    }

    /// What the path's variables are called: as their fields, or as the same path of another verb calls them.
    fn path_names(&mut self, route: &Route) -> Vec<String> {
        let own = route.open_variables().into_iter().map(|variable| {
            let last = variable.rsplit('.').next();
            last.unwrap_or(variable).to_owned()
        });
        let mut own: Vec<String> = own.collect();
        let is_twice = (1..own.len()).any(|at| own[..at].contains(&own[at]));
        if is_twice {
            let variables = route.open_variables();
            own = variables.into_iter().map(str::to_owned).collect();
        }
        let blanks = vec![String::new(); own.len()];
        let shape = with_variables(&route.path(), &blanks);
        self.by_shape.entry(shape).or_insert(own).clone()
    }

    fn operation(&mut self, route: &Route, variables: &[String]) -> Value {
        let method = route.descriptor();
        let file = method.parent_file();
        let comment = self.comments.get(file.name(), method.path());
        let needs = (self.info.needs)(route);
        let texts = comment.into_iter().chain([needs.words.as_str()]);
        let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
        let description = texts.join("\n\n");
        let summary = comment.and_then(comments::first_sentence);
        let summary = summary.map_or_else(|| in_words(method.name()), str::to_owned);
        let mut parameters = self.in_path(route, variables);
        self.in_query(route, &mut parameters);
        self.in_headers(route, &mut parameters);
        let mut operation = json!({
            "operationId": self.names.operation(method.full_name(), binding_of(route)),
            "tags": [self.names.tag(&route.service())],
            "summary": summary,
            "parameters": parameters,
            "responses": self.responses(route, &description),
            "security": needs.security,
        });
        if !description.is_empty() {
            set(&mut operation, "description", description);
        }
        if let Some(body) = self.body(route) {
            set(&mut operation, "requestBody", body);
        }
        operation
    }

    fn in_path(&mut self, route: &Route, names: &[String]) -> Vec<Value> {
        let fields = route.open_variables().into_iter().zip(names);
        let parameters = fields.map(|(variable, name)| {
            let field = field_at(&route.descriptor().input(), variable);
            let mut schema = json!({ "type": "string" });
            let mut parameter = json!({ "name": name, "in": "path", "required": true });
            if let Some(field) = field {
                schema = self.schemas.field(&field, Side::Request);
                self.schemas.describe_field(&mut parameter, &field);
            }
            set(&mut parameter, "schema", schema);
            parameter
        });
        parameters.collect()
    }

    /// Without a body that is the whole message, all other fields may stand in the query.
    fn in_query(&mut self, route: &Route, parameters: &mut Vec<Value>) {
        let body = route.body_field();
        if route.takes_body() && body.is_none() {
            return;
        }
        let variables = route.variables();
        for field in route.descriptor().input().fields() {
            if Some(field.name()) != body {
                self.query_field(&field, "", &variables, 0, parameters);
            }
        }
    }

    fn query_field(
        &mut self,
        field: &FieldDescriptor,
        prefix: &str,
        variables: &[&str],
        depth: usize,
        parameters: &mut Vec<Value>,
    ) {
        let name = format!("{prefix}{}", field.name());
        if variables.contains(&name.as_str()) || is_set_by_server(field, self.info) {
            return;
        }
        let kind = field.kind();
        let message = kind.as_message();
        let message = message.filter(|message| !is_well_known(message.full_name()));
        if let Some(message) = message {
            // A list or a map of messages has no place in a query.
            if !field.is_list() && !field.is_map() && depth < DEEPEST {
                for field in message.fields() {
                    self.query_field(
                        &field,
                        &format!("{name}."),
                        variables,
                        depth + 1,
                        parameters,
                    );
                }
            }
            return;
        }
        let mut parameter = json!({
            "name": name, "in": "query",
            "schema": self.schemas.field(field, Side::Request),
        });
        self.schemas.describe_field(&mut parameter, field);
        if is_required(field, Side::Request) {
            set(&mut parameter, "required", true);
        }
        if let Some(parameter) = parameter.as_object_mut() {
            // Parameters have examples by name, unlike schemas.
            parameter.remove("examples");
        }
        parameters.push(parameter);
    }

    fn in_headers(&self, route: &Route, parameters: &mut Vec<Value>) {
        for (field, component) in self.info.headers {
            if field.is_empty() || route.has_input(field) {
                let reference = format!("#/components/parameters/{component}");
                parameters.push(json!({ "$ref": reference }));
            }
        }
        if has_tag(route) {
            parameters.push(json!({ "$ref": "#/components/parameters/IfNoneMatch" }));
        }
    }

    fn body(&mut self, route: &Route) -> Option<Value> {
        let body = body_of(route)?;
        let mut content = Map::new();
        let mut is_required = true;
        match &body {
            BodyShape::Message(shown) => {
                let schema = self.schemas.message(shown, Side::Request);
                content.insert("application/json".to_owned(), json!({ "schema": schema }));
                if takes_form(route, &shown.message) {
                    let schema = self.schemas.form(shown);
                    content.insert(
                        "multipart/form-data".to_owned(),
                        json!({ "schema": schema }),
                    );
                }
                // No body is an empty one.
                is_required = has_required(&shown.message);
            }
            BodyShape::Field(field) => {
                let schema = self.schemas.field(field, Side::Request);
                content.insert("application/json".to_owned(), json!({ "schema": schema }));
            }
        }
        Some(json!({ "required": is_required, "content": content }))
    }

    fn responses(&mut self, route: &Route, description: &str) -> Value {
        let content = self.answer(route);
        let mut responses = json!({
            "200": { "description": what_is_answered(route), "content": content },
            "default": { "$ref": "#/components/responses/Problem" },
        });
        if has_tag(route) {
            let tag = json!({ "ETag": { "$ref": "#/components/headers/EntityTag" } });
            set(&mut responses["200"], "headers", tag);
            let same = json!({ "$ref": "#/components/responses/NotModified" });
            set(&mut responses, "304", same);
        }
        for (status, component) in self.info.answers {
            let reference = format!("#/components/responses/{component}");
            set(&mut responses, status, json!({ "$ref": reference }));
        }
        for (status, reasons) in comments::errors(description) {
            set(&mut responses, &status.to_string(), problem(&reasons));
        }
        self.with_headers(&mut responses);
        responses
    }

    /// Gives the answers that are no references the headers that they all have.
    fn with_headers(&self, responses: &mut Value) {
        let headers = self.info.answer_headers.iter().map(|(name, component)| {
            let reference = format!("#/components/headers/{component}");
            ((*name).to_owned(), json!({ "$ref": reference }))
        });
        let headers: Map<String, Value> = headers.collect();
        let responses = responses.as_object_mut().into_iter().flatten();
        for (_, response) in responses {
            if headers.is_empty() || response.get("$ref").is_some() {
                continue;
            }
            let own = response.get("headers").and_then(Value::as_object);
            let own = own.into_iter().flatten();
            let own = own.map(|(name, header)| (name.clone(), header.clone()));
            let all: Map<String, Value> = headers.clone().into_iter().chain(own).collect();
            set(response, "headers", all);
        }
    }

    fn answer(&mut self, route: &Route) -> Value {
        if route.is_of_chunks() {
            return json!({ "application/octet-stream": {} });
        }
        let schema = self.answer_schema(route);
        if !route.is_streaming() {
            return json!({ "application/json": { "schema": schema } });
        }
        let json = json!({
            "type": "string", "contentMediaType": "application/json", "contentSchema": &schema,
        });
        let mut lines = json.clone();
        let text = "Each line is JSON of the schema that is named here.";
        set(&mut lines, "description", text);
        json!({
            "application/x-ndjson": { "schema": lines },
            "text/event-stream": { "schema": event(json, route.is_of_events()) },
        })
    }

    fn answer_schema(&mut self, route: &Route) -> Value {
        match route.response_field() {
            Some(field) => self.schemas.field(&field, Side::Answer),
            None => {
                let output = Shown::whole(route.descriptor().output());
                self.schemas.message(&output, Side::Answer)
            }
        }
    }
}

/// Whether answers are told apart by entity tags: those that are only asked for, and are single.
fn has_tag(route: &Route) -> bool {
    route.verb() == Method::GET && !route.is_streaming()
}

/// One event of a stream, whose `data` is this.
fn event(data: Value, is_numbered: bool) -> Value {
    let mut properties = json!({ "data": data });
    if is_numbered {
        let id = json!({ "type": "string", "description": "`seq`." });
        let name = json!({ "type": "string", "description": "`type`." });
        set(&mut properties, "id", id);
        set(&mut properties, "event", name);
    }
    json!({ "type": "object", "description": "One event of the stream.", "properties": properties })
}

/// A form has files among its own fields.
fn takes_form(route: &Route, message: &MessageDescriptor) -> bool {
    let has_file = message
        .fields()
        .any(|field| matches!(field.kind(), Kind::Bytes));
    route.takes_files() && has_file
}

fn what_is_answered(route: &Route) -> &'static str {
    if !route.is_streaming() {
        "It is done."
    } else if route.is_of_chunks() {
        "The file."
    } else if route.is_of_events() {
        "Events as they happen; lines when `Accept` asks for these."
    } else {
        "Lines; events when `Accept` asks for these."
    }
}

fn has_required(message: &MessageDescriptor) -> bool {
    let mut fields = message.fields();
    fields.any(|field| is_required(&field, Side::Request))
}

fn problem(reasons: &[&str]) -> Value {
    let reasons: Vec<String> = reasons.iter().map(|reason| format!("`{reason}`")).collect();
    let description = if reasons.is_empty() {
        "As the description says.".to_owned()
    } else {
        format!("Among the reasons: {}.", reasons.join(", "))
    };
    json!({
        "description": description,
        "content": {
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        },
    })
}

/// The field that a dotted name leads to.
fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.get_field_by_name(name)?;
    match rest {
        None => Some(field),
        Some(rest) => field_at(field.kind().as_message()?, rest),
    }
}

/// `/v1/webhooks/{id}` of `/v1/webhooks/{webhook.id}` and `id`; `/v1/batches/{id}` of `/v1/{collection=batches}/{id}`.
fn with_variables(template: &str, names: &[String]) -> String {
    let mut names = names.iter();
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (variable, after) = after.split_once('}').unwrap_or((after, ""));
        path.push_str(before);
        match variable.split_once('=') {
            Some((_, text)) if !text.contains('*') => path.push_str(text),
            _ => {
                let name = names.next().map_or("", String::as_str);
                path.push_str(&format!("{{{name}}}"));
            }
        }
        rest = after;
    }
    path.push_str(rest);
    path
}

/// Which of its method's bindings a route is: 0 for the first, then the additional ones.
fn binding_of(route: &Route) -> usize {
    let method = route.descriptor();
    let pool = method.parent_service().parent_pool().clone();
    let Some(extension) = pool.get_extension_by_name("google.api.http") else {
        return 0;
    };
    let options = method.options();
    let rule = options.get_extension(&extension);
    let rule = rule.as_message();
    let more = rule.and_then(|rule| rule.get_field_by_name("additional_bindings"));
    let more = more.as_deref().and_then(Field::as_list).unwrap_or_default();
    let is_it = |rule: &DynamicMessage| {
        let verb = route.verb().as_str().to_ascii_lowercase();
        let path = rule.get_field_by_name(&verb);
        let path = path.as_deref().and_then(Field::as_str);
        path == Some(route.path().as_str())
    };
    let found = more
        .iter()
        .position(|rule| rule.as_message().is_some_and(is_it));
    found.map_or(0, |at| at + 1)
}
