//! The layer that every call passes before its handler.
//!
//! A stream goes on only for as long as it might be opened again: it ends when the session, the key or the account of its
//! caller does. What is answered once is not looked at again.

mod body;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Request, Response};
use kinora_mesh::workload::Workload;
use tonic::Status;
use tonic::service::Routes;
use tower::{Layer, Service};

use self::body::Watch;
pub use self::body::WatchedBody;
use crate::authenticator::{Authenticator, unix_now};
use crate::error::Refusal;
use crate::rules::{Callers, Method, RulesError, methods};
use crate::token::TokenError;

/// The rules of a service, and what is needed to apply them. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

struct Inner {
    own: Workload,
    methods: HashMap<String, Method>,
    authenticator: Authenticator,
}

impl Access {
    /// Applies the rules of `descriptors` to all methods of the services that `callers` names, for the workload `own` and
    /// its siblings.
    ///
    /// # Errors
    /// [`RulesError`] names every method without a rule, every one that no workload may call, and what is not there.
    pub fn new(
        own: Workload,
        descriptors: &[u8],
        callers: &[Callers],
        authenticator: Authenticator,
    ) -> Result<Self, RulesError> {
        let methods = methods(descriptors, callers)?;
        Ok(Self {
            inner: Arc::new(Inner {
                own,
                methods,
                authenticator,
            }),
        })
    }

    /// The same routes behind these rules. What is added to them later, as the health service is, stands outside.
    #[must_use]
    pub fn guard(&self, routes: Routes) -> Routes {
        routes.into_axum_router().layer(self.clone()).into()
    }

    /// Lets a call through and leaves its [`crate::Caller`] in the extensions. What it gives is to be watched while the
    /// answer, a stream, goes on.
    async fn admit<B>(&self, request: &mut Request<B>) -> Result<Option<Watch>, Status> {
        let path = request.uri().path();
        let method = *self.inner.methods.get(path).ok_or_else(unknown_method)?;
        check_workload(&self.inner.own, method.workloads, request.extensions())?;
        // Nobody but this layer says who calls.
        request.extensions_mut().remove::<crate::Caller>();
        if !method.wanted.is_user() {
            return Ok(None);
        }
        let token = bearer(request.headers())?;
        let authenticator = &self.inner.authenticator;
        let checked = authenticator.check(token).await.map_err(logged)?;
        let terms_version = checked.bundle.terms_version();
        method
            .wanted
            .admit(&checked.caller, terms_version, unix_now())?;
        request.extensions_mut().insert(checked.caller);
        let watch = || Watch::new(checked.standing, checked.at, authenticator.trust().news());
        Ok(method.is_streaming.then(watch))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("own", &self.inner.own)
            .field("methods", &self.inner.methods.len())
            .finish_non_exhaustive()
    }
}

fn unknown_method() -> Status {
    Status::unimplemented("there is no such method")
}

/// Who is at the other end must be a sibling of `own` that the rule names.
fn check_workload(own: &Workload, allowed: &[&str], peer: &Extensions) -> Result<(), Refusal> {
    let peer = peer.get::<Workload>();
    let may =
        |peer: &&Workload| peer.is_sibling_of(own) && allowed.contains(&peer.service.as_str());
    match peer.filter(may) {
        Some(_) => Ok(()),
        None => {
            let peer = peer.map(ToString::to_string);
            tracing::warn!(
                peer = peer.as_deref().unwrap_or("unknown"),
                "a workload was refused"
            );
            Err(Refusal::Workload)
        }
    }
}

/// The one token of a call.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::TokenMissing)?;
    let invalid = Refusal::Token(TokenError::Form);
    if values.next().is_some() {
        return Err(invalid);
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(invalid)
    }
}

/// Callers are told little; the log has the rest.
fn logged(refusal: Refusal) -> Refusal {
    tracing::debug!(%refusal, "a token was refused");
    refusal
}

impl<S> Layer<S> for Access {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            access: self.clone(),
            inner,
        }
    }
}

/// A service behind [`Access`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    access: Access,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<WatchedBody<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let access = self.access.clone();
        // The one that was asked whether it is ready is the one that is called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            match access.admit(&mut request).await {
                Ok(watch) => {
                    let response = inner.call(request).await?;
                    Ok(response.map(|body| WatchedBody::new(body, watch)))
                }
                Err(status) => Ok(status.into_http().map(|body| WatchedBody::new(body, None))),
            }
        })
    }
}

#[cfg(test)]
mod tests;
