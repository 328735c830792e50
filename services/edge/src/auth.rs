//! Who calls: by an access token, or by an API key that the accounts service turns into one.
//!
//! A token stands in `Authorization: Bearer`, a key there or in `X-Api-Key`; keys begin with `kk_`. Either way the call
//! goes on with a token that the services behind check by themselves. It is checked here too, so that a bad one costs
//! them nothing.
//!
//! The browser's `EventSource` can set neither header; a token in the URL becomes one before this (`http/in_url.rs`).

mod exchange;

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use kinora_access::{Authenticator, Caller, Refusal, Scope, TokenError, Wanted};
use kinora_mesh::error::PublicError;
use kinora_mesh::principal::Principal;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

pub use self::exchange::{KEPT, KeyExchange};
use crate::limits::Subject;
use crate::problem::Problem;
use crate::visit::Visit;

/// What every key begins with, so that scanners recognise a leaked one.
pub const KEY_PREFIX: &str = "kk_";

/// No key is longer; what is longer is not looked at.
const MAX_KEY_BYTES: usize = 256;

/// More of it is not passed on.
const MAX_USER_AGENT_CHARS: usize = 256;

pub(crate) const API_KEY_HEADER: &str = "x-api-key";

/// A caller and the token that says so.
#[derive(Clone, Debug)]
pub struct Bearer {
    caller: Caller,
    principal: Principal,
    /// The id of the API key behind it.
    key_id: Option<String>,
    authorization: AsciiMetadataValue,
}

impl Bearer {
    /// Checks a token.
    ///
    /// # Errors
    ///
    /// [`Refusal`], when it is not good.
    pub async fn of_token(tokens: &Authenticator, token: &str) -> Result<Self, Refusal> {
        let caller = tokens.authenticate(token).await?;
        let mut authorization: AsciiMetadataValue = format!("Bearer {token}")
            .parse()
            .map_err(|_| TokenError::Form)?;
        authorization.set_sensitive(true);
        Ok(Self {
            principal: caller.principal(),
            key_id: caller.is_key().then(|| caller.session.to_string()),
            caller,
            authorization,
        })
    }

    /// Under which name the caller's things are kept.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The id of the API key that calls. None for a person.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whom requests are counted on: each key for itself, and a person over all sessions.
    pub(crate) fn subject(&self) -> Subject {
        match &self.key_id {
            Some(id) => Subject::Key(id.clone()),
            None => Subject::Person(self.principal.clone()),
        }
    }

    /// Whether the caller may see what operators see.
    #[must_use]
    pub const fn is_operator(&self) -> bool {
        self.caller.may(Scope::Admin)
    }

    /// Names the caller in an outgoing call.
    pub fn attach(&self, metadata: &mut MetadataMap) {
        metadata.insert("authorization", self.authorization.clone());
    }
}

/// Finds out who calls. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    tokens: Authenticator,
    keys: KeyExchange,
}

impl Gate {
    /// Checks tokens with `tokens` and exchanges keys with `keys`.
    #[must_use]
    pub const fn new(tokens: Authenticator, keys: KeyExchange) -> Self {
        Self { tokens, keys }
    }

    /// The caller of a request, which is counted on that caller, or on its address when it shows nothing good.
    ///
    /// # Errors
    ///
    /// A 401 [`Problem`] when there is no token or key, or one that opens nothing; 429 when there were too many requests;
    /// 503 when it cannot be told now who calls.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        visit: &Visit,
    ) -> Result<Arc<Bearer>, Problem> {
        match self.identify(headers, visit).await {
            Ok(bearer) => {
                visit.count_caller(&bearer).await?;
                Ok(bearer)
            }
            Err(problem) => {
                visit.count_stranger().await?;
                Err(problem)
            }
        }
    }

    async fn identify(&self, headers: &HeaderMap, visit: &Visit) -> Result<Arc<Bearer>, Problem> {
        match Presented::of(headers)? {
            Presented::Token(token) => {
                let bearer = Bearer::of_token(&self.tokens, token).await;
                Ok(Arc::new(bearer.map_err(PublicError::from)?))
            }
            Presented::Key(key) => {
                let user_agent = user_agent(headers);
                self.keys.bearer_of(key, &user_agent, visit).await
            }
        }
    }

    /// The caller of a request for a method, who is one that it wants.
    ///
    /// # Errors
    ///
    /// As [`Self::authenticate`]; also what the method's service answers to a caller whom it does not want.
    pub(crate) async fn admit(
        &self,
        headers: &HeaderMap,
        visit: &Visit,
        wanted: Wanted,
    ) -> Result<Arc<Bearer>, Problem> {
        let bearer = self.authenticate(headers, visit).await?;
        let admitted = self.tokens.admit(&bearer.caller, wanted).await;
        admitted.map_err(PublicError::from)?;
        Ok(bearer)
    }
}

/// What a request says of its caller.
#[derive(Debug, PartialEq, Eq)]
enum Presented<'a> {
    Token(&'a str),
    Key(&'a str),
}

impl<'a> Presented<'a> {
    fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, rest) = value.as_bytes().split_at_checked("Bearer ".len())?;
            scheme
                .eq_ignore_ascii_case(b"Bearer ")
                .then(|| rest.trim_ascii())
        });
        if let Some(text) = bearer.filter(|text| !text.is_empty()) {
            return if text.starts_with(KEY_PREFIX.as_bytes()) {
                key(text)
            } else {
                let token = std::str::from_utf8(text)
                    .map_err(|_| PublicError::from(Refusal::Token(TokenError::Form)))?;
                Ok(Self::Token(token))
            };
        }
        let plain = headers
            .get(API_KEY_HEADER)
            .map(|value| value.as_bytes().trim_ascii());
        match plain.filter(|text| !text.is_empty()) {
            Some(text) => key(text),
            None => Err(missing()),
        }
    }
}

fn key(text: &[u8]) -> Result<Presented<'_>, Problem> {
    let is_legal = text.starts_with(KEY_PREFIX.as_bytes())
        && text.len() <= MAX_KEY_BYTES
        && text.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(text).ok().filter(|_| is_legal);
    text.map(Presented::Key).ok_or_else(unknown_key)
}

fn missing() -> Problem {
    let detail = "send an access token as `Authorization: Bearer …`, or an API key as \
                  `Authorization: Bearer kk_…` or `X-Api-Key: kk_…`";
    Problem::unauthenticated("TOKEN_MISSING", detail)
}

fn unknown_key() -> Problem {
    Problem::unauthenticated("API_KEY_INVALID", "the API key is not known here")
}

fn user_agent(headers: &HeaderMap) -> String {
    let text = headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok());
    text.unwrap_or_default()
        .chars()
        .take(MAX_USER_AGENT_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: &'static str, value: &[u8]) -> HeaderMap {
        let value = HeaderValue::from_bytes(value).unwrap();
        HeaderMap::from_iter([(HeaderName::from_static(name), value)])
    }

    #[track_caller]
    fn check(name: &'static str, value: &str, expected: Option<Presented<'_>>) {
        let headers = headers(name, value.as_bytes());
        assert_eq!(Presented::of(&headers).ok(), expected, "{name}: {value}");
    }

    #[test]
    fn tokens_and_keys_are_told_apart() {
        check("authorization", "Bearer kk_a", Some(Presented::Key("kk_a")));
        check(
            "authorization",
            "bearer  a.b.c ",
            Some(Presented::Token("a.b.c")),
        );
        check("x-api-key", " kk_b", Some(Presented::Key("kk_b")));
    }

    #[test]
    fn anything_else_names_nobody() {
        check("authorization", "Bearer ", None);
        check("authorization", "Basic kk_a", None);
        check("authorization", "kk_a", None);
        check("authorization", "Bearer kk_a b", None);
        check("x-api-key", "a.b.c", None);
        check("x-api-key", &format!("kk_{}", "k".repeat(300)), None);
        check("cookie", "kk_a", None);
        for name in ["authorization", "x-api-key"] {
            assert!(Presented::of(&headers(name, b"Bearer kk_\xff")).is_err());
            assert!(Presented::of(&headers(name, b"Bearer \xff\xfe")).is_err());
        }
    }

    #[test]
    fn header_for_tokens_comes_first() {
        let mut both = headers("authorization", b"Bearer a.b.c");
        both.extend(headers("x-api-key", b"kk_a"));
        assert_eq!(Presented::of(&both).unwrap(), Presented::Token("a.b.c"));
    }

    #[test]
    fn long_user_agents_are_cut_at_a_character() {
        let long = "x".repeat(300);
        assert_eq!(
            user_agent(&headers("user-agent", long.as_bytes())).len(),
            256
        );
        assert_eq!(user_agent(&headers("user-agent", b"\xff")), "");
    }
}
