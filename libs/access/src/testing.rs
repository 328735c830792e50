//! An issuer of tokens for tests of services, which is also where they find its trust bundle.

use std::net::Ipv4Addr;
use std::sync::Arc;

use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_mesh::workload::Workload;
use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::trust_service_server::{TrustService, TrustServiceServer};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::authenticator::{Authenticator, unix_now};
use crate::claims::{Age, Claims, MAX_LIFETIME_SECONDS, Role, Scope, Scopes};
use crate::token::{SigningKey, Verifier, sign};
use crate::trust::{TrustKeeper, TrustSource};

/// The issuer that services trust by default.
pub const ISSUER: &str = "kinora";

/// Signs whatever a test wants. Clones share their state.
#[derive(Clone)]
pub struct TestIssuer(Arc<Mutex<State>>);

struct State {
    current: (String, SigningKey),
    published: Vec<pb::VerifyingKey>,
    terms_version: u32,
    ended: Vec<pb::Ended>,
    revision: u64,
    questions: u64,
    is_away: bool,
}

/// An issuer's trust service on a port, until it is dropped.
#[derive(Debug)]
pub struct ServedTrust {
    /// Its URL.
    pub endpoint: String,
    _stop: DropGuard,
}

impl TestIssuer {
    /// With one key, and terms of version 1.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a default with random keys would surprise"
    )]
    pub fn new() -> Self {
        let current = new_key();
        Self(Arc::new(Mutex::new(State {
            published: vec![published(&current)],
            current,
            terms_version: 1,
            ended: Vec::new(),
            revision: 1,
            questions: 0,
            is_away: false,
        })))
    }

    /// Claims of somebody by name, or `organisation:name`: good for ten minutes, for all services and all but operators'
    /// scopes, with the present terms accepted.
    #[must_use]
    pub fn claims(&self, name: &str) -> Claims {
        let (org, user) = match name.split_once(':') {
            Some((org, user)) => (Some(id_of(org)), user),
            None => (None, name),
        };
        let now = unix_now();
        let scopes: Scopes = Scope::ALL
            .into_iter()
            .filter(|&it| it != Scope::Admin)
            .collect();
        Claims {
            iss: ISSUER.to_owned(),
            aud: ["accounts", "billing", "prompts", "scheduler"]
                .map(str::to_owned)
                .to_vec(),
            sub: id_of(user),
            iat: now,
            nbf: now,
            exp: now + MAX_LIFETIME_SECONDS,
            jti: Uuid::now_v7(),
            sid: Uuid::now_v7(),
            auth_time: now,
            aal: 1,
            amr: vec!["pwd".to_owned()],
            scope: scopes.to_string(),
            org,
            role: org.map(|_| Role::Member),
            terms: self.0.lock().terms_version,
            age: Age::Declared,
            adm: false,
            init: false,
        }
    }

    /// As [`Self::claims`], of an operator.
    #[must_use]
    pub fn operator(&self, name: &str) -> Claims {
        let all: Scopes = Scope::ALL.into_iter().collect();
        Claims {
            adm: true,
            scope: all.to_string(),
            ..self.claims(name)
        }
    }

    /// Signs claims with the current key.
    ///
    /// # Panics
    /// When they are too long for a token.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        let (id, key) = &self.0.lock().current;
        sign(claims, id, key).expect("short claims")
    }

    /// A good token of somebody by name.
    #[must_use]
    pub fn token(&self, name: &str) -> String {
        self.sign(&self.claims(name))
    }

    /// The current key and its id.
    #[must_use]
    pub fn current_key(&self) -> (String, SigningKey) {
        self.0.lock().current.clone()
    }

    /// Publishes a new key and signs with it from now on. Tokens under the former one stay good.
    pub fn rotate(&self) {
        self.change(|state| {
            state.current = new_key();
            state.published.push(published(&state.current));
        });
    }

    /// Publishes the current key alone: tokens under others are refused.
    pub fn revoke_former_keys(&self) {
        self.change(|state| state.published = vec![published(&state.current)]);
    }

    /// Ends a session, key or subject: its tokens from before are refused.
    pub fn end(&self, id: Uuid) {
        let ended = pb::Ended {
            id: id.to_string(),
            end_time: unix_now(),
        };
        self.change(|state| state.ended.push(ended));
    }

    /// Puts another version of the terms in force.
    pub fn require_terms(&self, version: u32) {
        self.change(|state| state.terms_version = version);
    }

    /// Answers no question while away.
    pub fn be_away(&self, is_away: bool) {
        self.0.lock().is_away = is_away;
    }

    /// How often it was asked for its bundle.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.0.lock().questions
    }

    /// A keeper that asks this issuer within the process, for as long as the test runs.
    #[must_use]
    pub fn keeper(&self) -> Arc<TrustKeeper> {
        TrustKeeper::start(Arc::new(self.clone()), CancellationToken::new())
    }

    /// Takes this issuer's tokens for `audience`.
    #[must_use]
    pub fn authenticator(&self, audience: &str) -> Authenticator {
        Authenticator::new(Verifier::new(ISSUER, &[audience]), self.keeper())
    }

    /// The gRPC service, to be served beside others.
    #[must_use]
    pub fn service(&self) -> TrustServiceServer<Self> {
        TrustServiceServer::new(self.clone())
    }

    /// Serves it on a free port of the loopback, as the service of `identity`.
    ///
    /// # Panics
    /// When the loopback cannot be bound.
    pub async fn serve(&self, identity: Identity) -> ServedTrust {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let (routes, stopped) = (Routes::new(self.service()), stop.clone());
        tokio::spawn(async move {
            let lifecycle = Lifecycle::until(&stopped);
            kinora_mesh::serve::grpc(listener, &identity, Grpc::of(routes), &lifecycle).await
        });
        ServedTrust {
            endpoint: format!("https://{address}"),
            _stop: stop.drop_guard(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        change(&mut state);
        state.revision += 1;
    }

    fn answer(&self, request: &pb::GetTrustRequest) -> Result<pb::GetTrustResponse, Status> {
        let mut state = self.0.lock();
        state.questions += 1;
        if state.is_away {
            return Err(Status::unavailable("the issuer is away"));
        }
        let revision = state.revision.to_string();
        let trust = pb::Trust {
            keys: state.published.clone(),
            terms_version: state.terms_version,
            ended: state.ended.clone(),
        };
        Ok(pb::GetTrustResponse {
            trust: (request.known_revision != revision).then_some(trust),
            revision,
        })
    }
}

#[tonic::async_trait]
impl TrustSource for TestIssuer {
    async fn get_trust(
        &self,
        request: pb::GetTrustRequest,
    ) -> Result<pb::GetTrustResponse, Status> {
        self.answer(&request)
    }
}

#[tonic::async_trait]
impl TrustService for TestIssuer {
    async fn get_trust(
        &self,
        request: Request<pb::GetTrustRequest>,
    ) -> Result<Response<pb::GetTrustResponse>, Status> {
        self.answer(request.get_ref()).map(Response::new)
    }
}

/// The id of a user or organisation whom tests call by a name of at most 16 bytes.
///
/// # Panics
/// When the name is longer.
#[must_use]
pub fn id_of(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Uuid::from_bytes(bytes)
}

/// The principal of a name or `organisation:name`, as services store it.
#[must_use]
pub fn principal_of(name: &str) -> String {
    let ids: Vec<String> = name
        .split(':')
        .map(|part| id_of(part).to_string())
        .collect();
    ids.join(":")
}

/// A service of a mesh of tests.
#[must_use]
pub fn workload(service: &str) -> Workload {
    Workload {
        trust_domain: "kinora.local".to_owned(),
        namespace: "default".to_owned(),
        service: service.to_owned(),
    }
}

fn new_key() -> (String, SigningKey) {
    (
        Uuid::now_v7().to_string(),
        SigningKey::from_seed(&rand::random()),
    )
}

fn published((id, key): &(String, SigningKey)) -> pb::VerifyingKey {
    pb::VerifyingKey {
        id: id.clone(),
        public_key: key.public_key().to_vec(),
    }
}
