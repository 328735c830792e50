//! The contract's calls about sign in.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn sign_in(
    _app: &App,
    _request: Request<pb::SignInRequest>,
) -> Result<Response<pb::SignInResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn refresh(
    _app: &App,
    _request: Request<pb::RefreshRequest>,
) -> Result<Response<pb::RefreshResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn sign_out(
    _app: &App,
    _request: Request<pb::SignOutRequest>,
) -> Result<Response<pb::SignOutResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
