//! The contract's calls about passkeys.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, id_from_pb, origin_from_pb, time_to_pb, tokens_to_pb};
use crate::app::App;
use crate::store::entity::people::passkey;

pub(super) async fn begin_passkey_sign_in(
    app: &App,
    request: Request<pb::BeginPasskeySignInRequest>,
) -> Result<Response<pb::BeginPasskeySignInResponse>, Status> {
    let origin = origin_from_pb(request.into_inner().origin);
    let asked = app.begin_passkey_sign_in(&origin).await?;
    Ok(Response::new(pb::BeginPasskeySignInResponse {
        options_json: asked.options_json,
        challenge_token: asked.token,
    }))
}

pub(super) async fn complete_passkey_sign_in(
    app: &App,
    request: Request<pb::CompletePasskeySignInRequest>,
) -> Result<Response<pb::CompletePasskeySignInResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let tokens = app
        .complete_passkey_sign_in(&request.challenge_token, &request.credential_json, &origin)
        .await?;
    Ok(Response::new(pb::CompletePasskeySignInResponse {
        tokens: Some(tokens_to_pb(tokens)),
    }))
}

pub(super) async fn begin_passkey_registration(
    app: &App,
    request: Request<pb::BeginPasskeyRegistrationRequest>,
) -> Result<Response<pb::BeginPasskeyRegistrationResponse>, Status> {
    let asked = app.begin_passkey_registration(&caller(&request)?).await?;
    Ok(Response::new(pb::BeginPasskeyRegistrationResponse {
        options_json: asked.options_json,
        challenge_token: asked.token,
    }))
}

pub(super) async fn complete_passkey_registration(
    app: &App,
    request: Request<pb::CompletePasskeyRegistrationRequest>,
) -> Result<Response<pb::CompletePasskeyRegistrationResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let (token, credential) = (&request.challenge_token, &request.credential_json);
    let passkey = app
        .complete_passkey_registration(&caller, token, credential, &request.name, &origin)
        .await?;
    Ok(Response::new(pb::CompletePasskeyRegistrationResponse {
        passkey: Some(passkey_to_pb(passkey)),
    }))
}

pub(super) async fn list_passkeys(
    app: &App,
    request: Request<pb::ListPasskeysRequest>,
) -> Result<Response<pb::ListPasskeysResponse>, Status> {
    let passkeys = app.list_passkeys(&caller(&request)?).await?;
    Ok(Response::new(pb::ListPasskeysResponse {
        passkeys: passkeys.into_iter().map(passkey_to_pb).collect(),
    }))
}

pub(super) async fn remove_passkey(
    app: &App,
    request: Request<pb::RemovePasskeyRequest>,
) -> Result<Response<pb::RemovePasskeyResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let id = id_from_pb(&request.id)?;
    app.remove_passkey(&caller, id, &origin).await?;
    Ok(Response::new(pb::RemovePasskeyResponse {}))
}

fn passkey_to_pb(passkey: passkey::Model) -> pb::Passkey {
    pb::Passkey {
        id: passkey.id.to_string(),
        name: passkey.name,
        create_time: Some(time_to_pb(passkey.create_time)),
        last_use_time: passkey.last_use_time.map(time_to_pb),
    }
}
