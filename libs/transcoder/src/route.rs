//! One way to reach a method.

use std::collections::HashSet;

use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use crate::template::Template;

/// One way to reach a method.
#[derive(Clone, Debug)]
pub struct Route {
    pub(crate) template: Template,
    pub(crate) body: Body,
    pub(crate) response: Option<FieldDescriptor>,
    pub(crate) method: MethodDescriptor,
    pub(crate) verb: Method,
    pub(crate) call: PathAndQuery,
}

/// What a request's body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Nothing.
    None,
    /// The whole message.
    Whole,
    /// One field of it.
    Field(FieldDescriptor),
}

impl Route {
    /// Full name of its service.
    #[must_use]
    pub fn service(&self) -> String {
        self.method.parent_service().full_name().to_owned()
    }

    /// What is called: `/package.Service/Method`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.call.path()
    }

    /// The method itself.
    #[must_use]
    pub const fn descriptor(&self) -> &MethodDescriptor {
        &self.method
    }

    /// The verb of HTTP.
    #[must_use]
    pub const fn verb(&self) -> &Method {
        &self.verb
    }

    /// The template as the contract has it, for example `/v1/videos/{id}:cancel`.
    #[must_use]
    pub fn path(&self) -> String {
        self.template.to_string()
    }

    /// The fields that the path sets, dotted.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        self.template.fields().collect()
    }

    /// Those of them that a client chooses. The others are said by the template, as `kind` is by `/v1/{kind=batches}/{id}`.
    pub(crate) fn open_variables(&self) -> Vec<&str> {
        self.template.open_fields().collect()
    }

    /// Whether a request has a body: the message, or a field of it.
    #[must_use]
    pub fn takes_body(&self) -> bool {
        self.body != Body::None
    }

    /// The field that is the body. None where that is the whole message, or where there is none.
    #[must_use]
    pub fn body_field(&self) -> Option<&str> {
        match &self.body {
            Body::Field(field) => Some(field.name()),
            Body::None | Body::Whole => None,
        }
    }

    /// The field of the method's answer that is the answer to the request. None where that is the whole message.
    #[must_use]
    pub fn response_field(&self) -> Option<FieldDescriptor> {
        self.response.clone()
    }

    /// Whether there is a field of bytes somewhere in what the body may hold, such as a picture.
    #[must_use]
    pub fn takes_files(&self) -> bool {
        let mut seen = HashSet::new();
        match &self.body {
            Body::None => false,
            Body::Whole => holds_bytes(&Kind::Message(self.method.input()), &mut seen),
            Body::Field(field) => holds_bytes(&field.kind(), &mut seen),
        }
    }

    /// Whether the answer is a stream.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.method.is_server_streaming()
    }

    /// Whether the answer is a stream of messages that hold nothing but `bytes chunk`: parts of a file.
    #[must_use]
    pub fn is_of_chunks(&self) -> bool {
        let output = self.method.output();
        let chunk = output.get_field_by_name("chunk");
        let is_bytes = chunk.is_some_and(|chunk| matches!(chunk.kind(), Kind::Bytes));
        self.is_streaming() && is_bytes && output.fields().len() == 1
    }

    /// Whether the answer is a stream of events: messages with a number, `seq`, and a `type`.
    #[must_use]
    pub fn is_of_events(&self) -> bool {
        let answer = self.answer();
        let has = |name: &str| answer.get_field_by_name(name).is_some();
        self.is_streaming() && has("seq") && has("type")
    }

    /// Whether the method's message has a field of this name.
    #[must_use]
    pub fn has_input(&self, field: &str) -> bool {
        self.method.input().get_field_by_name(field).is_some()
    }

    /// What an answer is: the method's, or that of [`Self::response_field`].
    pub(crate) fn answer(&self) -> MessageDescriptor {
        let kind = self.response.as_ref().map(FieldDescriptor::kind);
        let inner = kind.as_ref().and_then(Kind::as_message);
        inner.cloned().unwrap_or_else(|| self.method.output())
    }
}

/// `seen` are the messages that were looked into: one may hold itself.
fn holds_bytes(kind: &Kind, seen: &mut HashSet<String>) -> bool {
    match kind {
        Kind::Bytes => true,
        Kind::Message(message) => {
            seen.insert(message.full_name().to_owned())
                && message
                    .fields()
                    .any(|field| holds_bytes(&field.kind(), seen))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::Transcoder;
    use crate::testing::{SERVICES, route};

    #[test]
    fn a_route_tells_how_it_is_asked() {
        let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap();
        let update = route(&transcoder, "PATCH", "/v1/webhooks/w1");
        assert_eq!(update.verb(), http::Method::PATCH);
        assert_eq!(update.path(), "/v1/webhooks/{webhook.id}");
        assert_eq!(update.variables(), ["webhook.id"]);
        assert_eq!(update.body_field(), Some("webhook"));
        assert!(update.takes_body() && update.has_input("update_mask"));
        let response = update.response_field().unwrap();
        assert_eq!(response.name(), "webhook");
        let cancel = route(&transcoder, "POST", "/v1/videos/v1:cancel");
        assert_eq!(cancel.path(), "/v1/videos/{id}:cancel");
        assert!(!cancel.takes_body() && !cancel.has_input("request_id"));
        assert_eq!(cancel.descriptor().name(), "CancelVideo");
        assert_eq!(
            cancel.method(),
            "/kinora.scheduler.v1.VideoService/CancelVideo"
        );
        let list = route(&transcoder, "GET", "/v1/videos");
        assert!(list.response_field().is_none());
    }

    #[test]
    fn pictures_may_be_anywhere_in_a_body() {
        let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap();
        let takes = |verb, path| route(&transcoder, verb, path).takes_files();
        assert!(takes("POST", "/v1/videos"));
        assert!(takes("POST", "/v1/videos/v1:remix"));
        assert!(takes("POST", "/v1/videos:estimate"), "in the body's field");
        assert!(takes("POST", "/v1/batches"), "in a list");
        assert!(!takes("GET", "/v1/videos"));
        assert!(!takes("POST", "/v1/webhooks"));
        assert!(!takes("PATCH", "/v1/webhooks/w1"));
    }

    #[test]
    fn streams_of_events_are_told_from_other_streams() {
        let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap();
        let check = |path, is_of_events, is_of_chunks| {
            let route = route(&transcoder, "GET", path);
            let found = (route.is_of_events(), route.is_of_chunks());
            assert_eq!(found, (is_of_events, is_of_chunks), "{path}");
        };
        check("/v1/videos/v1/events", true, false);
        check("/v1/batches/b1/events", true, false);
        check("/v1/sequences/s1/events", true, false);
        check("/v1/videos/v1", false, false);
        check("/v1/usage:export", false, true);
    }
}
