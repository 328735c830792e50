//! Which method a request is for.

use http::Method;
use prost_reflect::DescriptorPool;

use crate::route::Route;
use crate::rule::routes_of;

/// All routes of some services.
#[derive(Debug)]
pub struct Transcoder {
    routes: Vec<Route>,
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
    /// Two routes fit the same requests, and neither is the narrower one.
    #[error("{first} and {second} want the same requests")]
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
        routes.sort_by(|a, b| a.template.order().cmp(&b.template.order()));
        for (index, second) in routes.iter().enumerate() {
            let mut others = routes.iter().take(index);
            if let Some(first) = others.find(|first| are_ambiguous(first, second)) {
                return Err(InvalidRoutes::Ambiguous {
                    first: first.method.full_name().to_owned(),
                    second: second.method.full_name().to_owned(),
                });
            }
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

    /// All routes; of those that fit the same path the narrower one first.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

fn are_ambiguous(a: &Route, b: &Route) -> bool {
    let are_nested = a.template.is_within(&b.template) != b.template.is_within(&a.template);
    a.verb == b.verb && a.template.overlaps(&b.template) && !are_nested
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SERVICES, contract, try_find};

    fn transcoder() -> Transcoder {
        Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).expect("the contracts")
    }

    #[track_caller]
    fn check(verb: Method, path: &str, expected: &str) {
        let transcoder = transcoder();
        let found = transcoder.find(&verb, path).expect("a route");
        assert_eq!(found.route.method(), expected);
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

    #[test]
    fn a_method_is_reached_by_its_other_bindings() {
        let videos = "/kinora.scheduler.v1.VideoService";
        let create = format!("{videos}/CreateVideo");
        check(Method::POST, "/v1/videos", &create);
        check(Method::POST, "/v1/videos/v1:remix", &create);
        check(Method::POST, "/v1/videos/v1/remix", &create);
        let sequence = format!("{videos}/CreateSequence");
        check(Method::POST, "/v1/videos/v1:extend", &sequence);
        let group = format!("{videos}/GetGroup");
        check(Method::GET, "/v1/batches/b1", &group);
        check(Method::GET, "/v1/sequences/s1", &group);
    }

    #[test]
    fn the_path_of_another_binding_sets_its_field() {
        let transcoder = transcoder();
        let path = "/v1/videos/0198-ab:remix";
        let found = transcoder.find(&Method::POST, path).unwrap();
        assert_eq!(found.variables, [("remix_of", "0198-ab".to_owned())]);
    }

    #[test]
    fn the_narrower_route_is_found() {
        let routes = r#"
            rpc One(M) returns (M) { option (google.api.http) = { get: "/v1/{a}" }; }
            rpc Two(M) returns (M) { option (google.api.http) = { get: "/v1/b" }; }
            rpc Three(M) returns (M) { option (google.api.http) = { get: "/v1/{a=**}" }; }
            rpc Four(M) returns (M) { option (google.api.http) = { get: "/v1/{a=**}:go" }; }
        "#;
        let transcoder = contract(routes).unwrap();
        assert_eq!(try_find(&transcoder, "GET", "/v1/a"), Some("One"));
        assert_eq!(try_find(&transcoder, "GET", "/v1/b"), Some("Two"));
        assert_eq!(try_find(&transcoder, "GET", "/v1/b/c"), Some("Three"));
        assert_eq!(try_find(&transcoder, "GET", "/v1/b:go"), Some("Four"));
        assert_eq!(try_find(&transcoder, "GET", "/v1/b/c:go"), Some("Four"));
    }

    #[track_caller]
    fn are_refused(first: &str, second: &str) {
        let made = contract(&format!(
            r#"
            rpc One(M) returns (M) {{ option (google.api.http) = {{ get: "{first}" }}; }}
            rpc Two(M) returns (M) {{ option (google.api.http) = {{ get: "{second}" }}; }}
            "#
        ));
        let is_ambiguous = matches!(made, Err(InvalidRoutes::Ambiguous { .. }));
        assert!(is_ambiguous, "{first} and {second}: {made:?}");
    }

    #[test]
    fn routes_that_fit_one_path_alike_are_refused() {
        are_refused("/v1/{a}", "/v1/{b}");
        are_refused("/v1/a", "/v1/a");
        are_refused("/v1/{a}/b", "/v1/a/{b}");
        are_refused("/v1/{a}:go", "/v1/{b}:go");
        are_refused("/v1/{a=**}:go", "/v1/{a}/{b=**}");
    }

    #[track_caller]
    fn is_refused(rpc: &str, problem: &str) {
        let made = contract(rpc);
        let Err(InvalidRoutes::Route { problem: found, .. }) = made else {
            panic!("{made:?}");
        };
        assert!(found.contains(problem), "{found}");
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        let rpc = |rule: &str| {
            format!("rpc One(M) returns (M) {{ option (google.api.http) = {{ {rule} }}; }}")
        };
        is_refused(&rpc(r#"get: "/v1/{x}""#), "has no field x");
        is_refused(&rpc(r#"get: "/v1/{m}""#), "m is no single value");
        is_refused(&rpc(r#"get: "/v1/{list}""#), "list is no single value");
        is_refused(&rpc(r#"get: "/v1/{a.b}""#), "a is no message");
        is_refused(&rpc(r#"get: "v1""#), "is no path template");
        is_refused(&rpc(r#"body: "*""#), "it has no pattern");
        let body = r#"post: "/v1" body: "x""#;
        is_refused(&rpc(body), "has no field x");
        let response = |field: &str| format!(r#"get: "/v1" response_body: "{field}""#);
        is_refused(&rpc(&response("x")), "has no field x");
        is_refused(&rpc(&response("a")), "a is no message");
        let nested = r#"get: "/v1" additional_bindings {
            get: "/v2" additional_bindings { get: "/v3" }
        }"#;
        is_refused(&rpc(nested), "an additional binding has bindings");
        let stream =
            r#"rpc One(stream M) returns (M) { option (google.api.http) = { get: "/v1" }; }"#;
        is_refused(stream, "a client stream");
    }
}
