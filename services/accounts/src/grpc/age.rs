//! The contract's calls about age.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn declare_age(
    _app: &App,
    _request: Request<pb::DeclareAgeRequest>,
) -> Result<Response<pb::DeclareAgeResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn begin_age_verification(
    _app: &App,
    _request: Request<pb::BeginAgeVerificationRequest>,
) -> Result<Response<pb::BeginAgeVerificationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn set_age(
    _app: &App,
    _request: Request<pb::SetAgeRequest>,
) -> Result<Response<pb::SetAgeResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
