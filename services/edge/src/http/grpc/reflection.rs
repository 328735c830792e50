//! What there is to call, for tools such as grpcurl (`grpc.reflection.v1`, and `v1alpha` for older ones).
//!
//! Told is what this edge serves, which its document tells everybody as well: the methods with a route, and the messages
//! that these take and answer. Nothing else of the contracts is.

mod served;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::{Request, Response};
use kinora_mesh::MeshError;
use kinora_transcoder::Transcoder;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_reflection::pb::{v1, v1alpha};
use tonic_reflection::server::{Builder, Error};
use tower::ServiceExt;

use super::answer::{self, End};

/// Services that every edge has.
const OWN: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// What their paths begin with.
const PREFIX: &str = "/grpc.reflection.";

/// A question is a name.
const MAX_QUESTION_BYTES: usize = 1024;

/// A client asks all that it wants to know at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells what there is. Cheap to clone.
#[derive(Clone)]
pub(in crate::http) struct Reflection(Routes);

impl Reflection {
    /// Tells of the methods that have a route.
    ///
    /// # Errors
    /// [`MeshError::Reflection`] when the descriptors make no sense.
    pub(in crate::http) fn of(routes: &Transcoder) -> Result<Self, MeshError> {
        Self::built(routes).map_err(MeshError::Reflection)
    }

    fn built(routes: &Transcoder) -> Result<Self, Error> {
        let builder = || {
            let services = routes.routes().iter().map(|route| route.service());
            let mut names: BTreeSet<String> = services.collect();
            names.extend(OWN.map(str::to_owned));
            let builder = Builder::configure()
                .register_file_descriptor_set(served::files(routes))
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET);
            names.into_iter().fold(builder, Builder::with_service_name)
        };
        let new = builder().build_v1()?;
        let old = builder().build_v1alpha()?;
        let routes = Routes::new(new.max_decoding_message_size(MAX_QUESTION_BYTES));
        let old = old.max_decoding_message_size(MAX_QUESTION_BYTES);
        Ok(Self(routes.add_service(old)))
    }

    pub(super) fn is_asked_by(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// Answers until `until`, and not for ever: nobody has to say who asks.
    pub(super) async fn answer(self, request: Request<Body>, until: End) -> Response<Body> {
        let late = answer::late(Some(Instant::now() + PATIENCE));
        let response = self.0.oneshot(request).await;
        match response {
            Ok(response) => answer::ending(response, answer::earlier(until, late)),
            Err(never) => match never {},
        }
    }
}
