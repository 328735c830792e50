//! The contract's calls about signing keys, and what tokens are checked against.

use std::sync::Arc;

use kinora_access::TrustSource;
use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller_at, id_from_pb, time_to_pb};
use crate::app::App;
use crate::domain::signing_key::{KeyState, SigningKeyInfo, Trust};
use crate::error::Error;

pub(super) async fn list_signing_keys(
    app: &App,
    _request: Request<pb::ListSigningKeysRequest>,
) -> Result<Response<pb::ListSigningKeysResponse>, Status> {
    let keys = keys_to_pb(app.signing_keys().await?);
    Ok(Response::new(pb::ListSigningKeysResponse { keys }))
}

pub(super) async fn rotate_signing_key(
    app: &App,
    request: Request<pb::RotateSigningKeyRequest>,
) -> Result<Response<pb::RotateSigningKeyResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let keys = app.rotate_signing_key(&operator).await?;
    let keys = keys_to_pb(keys);
    Ok(Response::new(pb::RotateSigningKeyResponse { keys }))
}

pub(super) async fn revoke_signing_key(
    app: &App,
    request: Request<pb::RevokeSigningKeyRequest>,
) -> Result<Response<pb::RevokeSigningKeyResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let id = id_from_pb(&request.get_ref().id)?;
    let keys = keys_to_pb(app.revoke_signing_key(&operator, id).await?);
    Ok(Response::new(pb::RevokeSigningKeyResponse { keys }))
}

pub(super) async fn get_trust(
    app: &App,
    request: Request<pb::GetTrustRequest>,
) -> Result<Response<pb::GetTrustResponse>, Status> {
    let known = &request.get_ref().known_revision;
    Ok(Response::new(trust_beyond(app, known).await?))
}

/// What this service says to itself: its own calls are checked like those of others.
pub struct OwnTrust {
    app: Arc<App>,
}

impl OwnTrust {
    /// Says what `app` knows.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl TrustSource for OwnTrust {
    async fn get_trust(
        &self,
        request: pb::GetTrustRequest,
    ) -> Result<pb::GetTrustResponse, Status> {
        Ok(trust_beyond(&self.app, &request.known_revision).await?)
    }
}

async fn trust_beyond(app: &App, known_revision: &str) -> Result<pb::GetTrustResponse, Error> {
    let trust = app.trust().await?;
    let revision = trust.revision();
    let is_known = known_revision == revision;
    let trust = (!is_known).then(|| trust_to_pb(trust));
    Ok(pb::GetTrustResponse { revision, trust })
}

fn trust_to_pb(trust: Trust) -> pb::Trust {
    let key = |(id, public_key): (uuid::Uuid, Vec<u8>)| pb::VerifyingKey {
        id: id.to_string(),
        public_key,
    };
    let ended = |(id, end_time): (uuid::Uuid, i64)| pb::Ended {
        id: id.to_string(),
        end_time,
    };
    pb::Trust {
        keys: trust.keys.into_iter().map(key).collect(),
        terms_version: trust.terms_version,
        ended: trust.ended.into_iter().map(ended).collect(),
    }
}

fn keys_to_pb(keys: Vec<SigningKeyInfo>) -> Vec<pb::SigningKey> {
    let key = |key: SigningKeyInfo| pb::SigningKey {
        id: key.id.to_string(),
        state: state_to_pb(key.state).into(),
        create_time: Some(time_to_pb(key.create_time)),
        state_time: Some(time_to_pb(key.state_time)),
    };
    keys.into_iter().map(key).collect()
}

const fn state_to_pb(state: KeyState) -> pb::SigningKeyState {
    match state {
        KeyState::Standby => pb::SigningKeyState::Standby,
        KeyState::Current => pb::SigningKeyState::Current,
        KeyState::Previous => pb::SigningKeyState::Previous,
        KeyState::Revoked => pb::SigningKeyState::Revoked,
    }
}
