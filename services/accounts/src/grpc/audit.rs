//! The contract's calls about audit.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::ServerStream;
use crate::app::App;

pub(super) async fn list_activity(
    _app: &App,
    _request: Request<pb::ListActivityRequest>,
) -> Result<Response<pb::ListActivityResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_audit(
    _app: &App,
    _request: Request<pb::ListAuditRequest>,
) -> Result<Response<pb::ListAuditResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn export_audit(
    _app: &App,
    _request: Request<pb::ExportAuditRequest>,
) -> Result<Response<ServerStream<pb::ExportAuditResponse>>, Status> {
    Err(Status::unimplemented("not built yet"))
}
