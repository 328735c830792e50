//! The contract's calls about terms.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn get_terms(
    _app: &App,
    _request: Request<pb::GetTermsRequest>,
) -> Result<Response<pb::GetTermsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn accept_terms(
    _app: &App,
    _request: Request<pb::AcceptTermsRequest>,
) -> Result<Response<pb::AcceptTermsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_terms_acceptances(
    _app: &App,
    _request: Request<pb::ListTermsAcceptancesRequest>,
) -> Result<Response<pb::ListTermsAcceptancesResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn publish_terms(
    _app: &App,
    _request: Request<pb::PublishTermsRequest>,
) -> Result<Response<pb::PublishTermsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_terms(
    _app: &App,
    _request: Request<pb::ListTermsRequest>,
) -> Result<Response<pb::ListTermsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
