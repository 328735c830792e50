//! Which method a request is for.

use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value,
};

use crate::template::Template;

/// All routes of some services.
#[derive(Debug)]
pub struct Transcoder {
    routes: Vec<Route>,
}

/// One way to reach a method.
#[derive(Debug)]
pub struct Route {
    pub(crate) template: Template,
    pub(crate) body: Body,
    pub(crate) method: MethodDescriptor,
    verb: Method,
    call: PathAndQuery,
}

/// What a request's body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Nothing.
    None,
    /// The whole message.
    Whole,
    /// One field of it.
    Field(String),
}

/// A route that fits, and what the path says.
#[derive(Debug)]
pub struct Found<'a> {
    /// The route.
    pub route: &'a Route,
    pub(crate) variables: Vec<(&'a str, String)>,
}

/// No route fits.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss {
    /// The path is not known.
    Path,
    /// The path is known with other verbs, joined by commas.
    Verb(String),
}

/// The contracts cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoutes {
    /// The descriptors cannot be read.
    #[error("the descriptors cannot be read: {0}")]
    Descriptors(String),
    /// No such service.
    #[error("there is no service {0}")]
    UnknownService(String),
    /// A method's route makes no sense.
    #[error("the route of {method} is wrong: {problem}")]
    Route {
        /// Full name.
        method: String,
        /// What is wrong.
        problem: String,
    },
    /// Two methods want the same requests.
    #[error("{first} and {second} have the same route")]
    Ambiguous {
        /// Full name.
        first: String,
        /// Full name.
        second: String,
    },
}

impl Transcoder {
    /// Reads the routes of `services`, full names, from an encoded descriptor set. Methods without a route have none.
    ///
    /// # Errors
    /// [`InvalidRoutes`], at the first problem.
    pub fn new(descriptors: &[u8], services: &[&str]) -> Result<Self, InvalidRoutes> {
        let broken =
            |error: prost_reflect::DescriptorError| InvalidRoutes::Descriptors(error.to_string());
        let pool = DescriptorPool::decode(descriptors).map_err(broken)?;
        let mut routes = Vec::new();
        for name in services {
            let service = pool.get_service_by_name(name);
            let service =
                service.ok_or_else(|| InvalidRoutes::UnknownService((*name).to_owned()))?;
            for method in service.methods() {
                routes.extend(routes_of(&pool, &method)?);
            }
        }
        // Literal segments come before variables, so that the narrower route is found first.
        routes.sort_by(|a, b| a.template.shape().cmp(&b.template.shape()));
        let same = routes.windows(2).find(|pair| {
            pair[0].verb == pair[1].verb && pair[0].template.shape() >= pair[1].template.shape()
        });
        if let Some([first, second]) = same {
            return Err(InvalidRoutes::Ambiguous {
                first: first.method.full_name().to_owned(),
                second: second.method.full_name().to_owned(),
            });
        }
        Ok(Self { routes })
    }

    /// Finds the route of a request.
    ///
    /// # Errors
    /// [`Miss`] when there is none.
    pub fn find(&self, verb: &Method, path: &str) -> Result<Found<'_>, Miss> {
        let mut allowed = Vec::new();
        for route in &self.routes {
            let Some(variables) = route.template.matches(path) else {
                continue;
            };
            if route.verb == *verb {
                return Ok(Found { route, variables });
            }
            allowed.push(route.verb.as_str());
        }
        if allowed.is_empty() {
            return Err(Miss::Path);
        }
        allowed.sort_unstable();
        allowed.dedup();
        Err(Miss::Verb(allowed.join(", ")))
    }
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

    /// What is called: `/package.Service/Method`.
    pub(crate) fn call(&self) -> PathAndQuery {
        self.call.clone()
    }
}

fn routes_of(
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
    let mut routes = vec![route_of(method, &rule)?];
    let more = rule.get_field_by_name("additional_bindings");
    for rule in more.as_deref().and_then(Value::as_list).unwrap_or_default() {
        if let Value::Message(rule) = rule {
            routes.push(route_of(method, rule)?);
        }
    }
    Ok(routes)
}

fn route_of(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Route, InvalidRoutes> {
    let wrong = |problem: String| InvalidRoutes::Route {
        method: method.full_name().to_owned(),
        problem,
    };
    if method.is_client_streaming() {
        return Err(wrong("a client stream has no place in HTTP".to_owned()));
    }
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
    let (verb, path) = patterns
        .next()
        .ok_or_else(|| wrong("it has no pattern".to_owned()))?;
    let template = Template::parse(&path).map_err(|error| wrong(error.to_string()))?;
    let input = method.input();
    for field in template.fields() {
        check_field(&input, field).map_err(wrong)?;
    }
    let body = match text(rule, "body").as_str() {
        "" => Body::None,
        "*" => Body::Whole,
        field => {
            check_field(&input, field).map_err(wrong)?;
            Body::Field(field.to_owned())
        }
    };
    let call = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let call = PathAndQuery::try_from(call).map_err(|error| wrong(error.to_string()))?;
    Ok(Route {
        template,
        body,
        method: method.clone(),
        verb,
        call,
    })
}

fn text(rule: &DynamicMessage, field: &str) -> String {
    let value = rule.get_field_by_name(field);
    let text = value.as_deref().and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// A dotted path of singular fields.
fn check_field(message: &MessageDescriptor, path: &str) -> Result<(), String> {
    let mut message = message.clone();
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let field = message.get_field_by_name(part);
        let field = field.ok_or_else(|| format!("there is no field {path}"))?;
        if parts.peek().is_some() {
            let kind = field.kind();
            let inner = kind.as_message().filter(|_| !field.is_list());
            message = inner
                .ok_or_else(|| format!("{path} goes through no message"))?
                .clone();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: [&str; 5] = [
        "kinora.accounts.v1.AdminService",
        "kinora.accounts.v1.AuthService",
        "kinora.accounts.v1.KeyService",
        "kinora.accounts.v1.OrganisationService",
        "kinora.accounts.v1.UserService",
    ];

    fn transcoder() -> Transcoder {
        Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).expect("the contracts")
    }

    #[track_caller]
    fn check(verb: Method, path: &str, expected: &str) {
        let transcoder = transcoder();
        let found = transcoder.find(&verb, path).expect("a route");
        assert_eq!(found.route.call().as_str(), expected);
    }

    #[test]
    fn requests_find_their_methods() {
        let auth = "/kinora.accounts.v1.AuthService";
        let user = "/kinora.accounts.v1.UserService";
        check(Method::POST, "/v1/auth:signUp", &format!("{auth}/SignUp"));
        check(Method::GET, "/v1/me", &format!("{user}/GetUser"));
        check(Method::PATCH, "/v1/me", &format!("{user}/UpdateUser"));
        let path = "/v1/me/sessions:revokeOthers";
        check(Method::POST, path, &format!("{user}/RevokeOtherSessions"));
        let path = "/v1/auth/providers/google:begin";
        check(Method::POST, path, &format!("{auth}/BeginProviderSignIn"));
    }

    #[test]
    fn methods_without_a_route_cannot_be_reached() {
        let transcoder = transcoder();
        let path = "/kinora.accounts.v1.AuthService/ExchangeApiKey";
        assert_eq!(transcoder.find(&Method::POST, path).err(), Some(Miss::Path));
    }

    #[test]
    fn a_known_path_tells_its_verbs() {
        let transcoder = transcoder();
        let miss = transcoder.find(&Method::PUT, "/v1/me").err();
        assert_eq!(miss, Some(Miss::Verb("DELETE, GET, PATCH".to_owned())));
    }

    #[test]
    fn unknown_services_are_refused() {
        let made = Transcoder::new(kinora_proto::DESCRIPTORS, &["kinora.Nothing"]);
        assert!(matches!(made, Err(InvalidRoutes::UnknownService(_))));
    }
}
