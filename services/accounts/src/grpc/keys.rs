//! The contract's calls about keys.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{
    caller, id_from_pb, optional_id_from_pb, origin_from_pb, time_from_pb, time_to_pb,
};
use crate::app::{App, NewKey};
use crate::error::Error;
use crate::store::entity::programs::api_key;

pub(super) async fn exchange_api_key(
    app: &App,
    request: Request<pb::ExchangeApiKeyRequest>,
) -> Result<Response<pb::ExchangeApiKeyResponse>, Status> {
    let request = request.into_inner();
    let (access_token, expire) = app.exchange_key(&request.api_key).await?;
    Ok(Response::new(pb::ExchangeApiKeyResponse {
        access_token,
        expire_time: Some(time_to_pb(expire)),
    }))
}

pub(super) async fn create_api_key(
    app: &App,
    request: Request<pb::CreateApiKeyRequest>,
) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
    let caller = caller(&request)?;
    let mut request = request.into_inner();
    let origin = origin_from_pb(request.origin.take());
    let (row, key) = app
        .create_key(&caller, new_key_from_pb(request)?, &origin)
        .await?;
    Ok(Response::new(pb::CreateApiKeyResponse {
        key: Some(key_to_pb(row)),
        secret: key.reveal(),
    }))
}

pub(super) async fn list_api_keys(
    app: &App,
    request: Request<pb::ListApiKeysRequest>,
) -> Result<Response<pb::ListApiKeysResponse>, Status> {
    let caller = caller(&request)?;
    let program = optional_id_from_pb(&request.get_ref().service_account_id)?;
    let keys = app.list_keys(&caller, program).await?;
    Ok(Response::new(pb::ListApiKeysResponse {
        keys: keys.into_iter().map(key_to_pb).collect(),
    }))
}

pub(super) async fn revoke_api_key(
    app: &App,
    request: Request<pb::RevokeApiKeyRequest>,
) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.revoke_key(&caller, id_from_pb(&request.id)?, &origin)
        .await?;
    Ok(Response::new(pb::RevokeApiKeyResponse {}))
}

fn new_key_from_pb(request: pb::CreateApiKeyRequest) -> Result<NewKey, Error> {
    let expire_time = match request.expire_time {
        Some(time) => Some(time_from_pb(time, "expire_time")?),
        None => None,
    };
    Ok(NewKey {
        expire_time,
        organisation: optional_id_from_pb(&request.organisation_id)?,
        program: optional_id_from_pb(&request.service_account_id)?,
        name: request.name,
        scopes: request.scopes,
    })
}

/// A key without its secret.
pub(super) fn key_to_pb(key: api_key::Model) -> pb::ApiKey {
    let id_or_empty = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    pb::ApiKey {
        id: key.id.to_string(),
        name: key.name,
        hint: key.hint,
        scopes: key.scopes.split_whitespace().map(str::to_owned).collect(),
        organisation_id: id_or_empty(key.organisation_id),
        service_account_id: id_or_empty(key.service_account_id),
        create_time: Some(time_to_pb(key.create_time)),
        expire_time: key.expire_time.map(time_to_pb),
        last_use_time: key.last_use_time.map(time_to_pb),
        revoke_time: key.revoke_time.map(time_to_pb),
    }
}
