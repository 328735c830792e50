//! The contract's calls about profile.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn get_user(
    _app: &App,
    _request: Request<pb::GetUserRequest>,
) -> Result<Response<pb::GetUserResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn update_user(
    _app: &App,
    _request: Request<pb::UpdateUserRequest>,
) -> Result<Response<pb::UpdateUserResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
