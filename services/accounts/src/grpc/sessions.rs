//! The contract's calls about sessions.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn list_sessions(
    _app: &App,
    _request: Request<pb::ListSessionsRequest>,
) -> Result<Response<pb::ListSessionsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn revoke_session(
    _app: &App,
    _request: Request<pb::RevokeSessionRequest>,
) -> Result<Response<pb::RevokeSessionResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn revoke_other_sessions(
    _app: &App,
    _request: Request<pb::RevokeOtherSessionsRequest>,
) -> Result<Response<pb::RevokeOtherSessionsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
