//! The contract's calls about providers.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn begin_provider_sign_in(
    _app: &App,
    _request: Request<pb::BeginProviderSignInRequest>,
) -> Result<Response<pb::BeginProviderSignInResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn complete_provider_sign_in(
    _app: &App,
    _request: Request<pb::CompleteProviderSignInRequest>,
) -> Result<Response<pb::CompleteProviderSignInResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_providers(
    _app: &App,
    _request: Request<pb::ListProvidersRequest>,
) -> Result<Response<pb::ListProvidersResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn begin_provider_link(
    _app: &App,
    _request: Request<pb::BeginProviderLinkRequest>,
) -> Result<Response<pb::BeginProviderLinkResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn complete_provider_link(
    _app: &App,
    _request: Request<pb::CompleteProviderLinkRequest>,
) -> Result<Response<pb::CompleteProviderLinkResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn remove_provider_link(
    _app: &App,
    _request: Request<pb::RemoveProviderLinkRequest>,
) -> Result<Response<pb::RemoveProviderLinkResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
