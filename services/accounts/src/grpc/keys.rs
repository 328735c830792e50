//! The contract's calls about keys.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn exchange_api_key(
    _app: &App,
    _request: Request<pb::ExchangeApiKeyRequest>,
) -> Result<Response<pb::ExchangeApiKeyResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn create_api_key(
    _app: &App,
    _request: Request<pb::CreateApiKeyRequest>,
) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_api_keys(
    _app: &App,
    _request: Request<pb::ListApiKeysRequest>,
) -> Result<Response<pb::ListApiKeysResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn revoke_api_key(
    _app: &App,
    _request: Request<pb::RevokeApiKeyRequest>,
) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
