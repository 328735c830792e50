//! The contract's calls about signing keys.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn list_signing_keys(
    _app: &App,
    _request: Request<pb::ListSigningKeysRequest>,
) -> Result<Response<pb::ListSigningKeysResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn rotate_signing_key(
    _app: &App,
    _request: Request<pb::RotateSigningKeyRequest>,
) -> Result<Response<pb::RotateSigningKeyResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn revoke_signing_key(
    _app: &App,
    _request: Request<pb::RevokeSigningKeyRequest>,
) -> Result<Response<pb::RevokeSigningKeyResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn get_trust(
    _app: &App,
    _request: Request<pb::GetTrustRequest>,
) -> Result<Response<pb::GetTrustResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
