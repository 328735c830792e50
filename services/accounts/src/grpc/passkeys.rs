//! The contract's calls about passkeys.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn begin_passkey_sign_in(
    _app: &App,
    _request: Request<pb::BeginPasskeySignInRequest>,
) -> Result<Response<pb::BeginPasskeySignInResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn complete_passkey_sign_in(
    _app: &App,
    _request: Request<pb::CompletePasskeySignInRequest>,
) -> Result<Response<pb::CompletePasskeySignInResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn begin_passkey_registration(
    _app: &App,
    _request: Request<pb::BeginPasskeyRegistrationRequest>,
) -> Result<Response<pb::BeginPasskeyRegistrationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn complete_passkey_registration(
    _app: &App,
    _request: Request<pb::CompletePasskeyRegistrationRequest>,
) -> Result<Response<pb::CompletePasskeyRegistrationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_passkeys(
    _app: &App,
    _request: Request<pb::ListPasskeysRequest>,
) -> Result<Response<pb::ListPasskeysResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn remove_passkey(
    _app: &App,
    _request: Request<pb::RemovePasskeyRequest>,
) -> Result<Response<pb::RemovePasskeyResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
