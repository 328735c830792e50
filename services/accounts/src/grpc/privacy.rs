//! The contract's calls about privacy.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::ServerStream;
use crate::app::App;

pub(super) async fn export_data(
    _app: &App,
    _request: Request<pb::ExportDataRequest>,
) -> Result<Response<ServerStream<pb::ExportDataResponse>>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn erase_user(
    _app: &App,
    _request: Request<pb::EraseUserRequest>,
) -> Result<Response<pb::EraseUserResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn cancel_erasure(
    _app: &App,
    _request: Request<pb::CancelErasureRequest>,
) -> Result<Response<pb::CancelErasureResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
