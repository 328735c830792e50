//! The contract's calls about service accounts.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn create_service_account(
    _app: &App,
    _request: Request<pb::CreateServiceAccountRequest>,
) -> Result<Response<pb::CreateServiceAccountResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_service_accounts(
    _app: &App,
    _request: Request<pb::ListServiceAccountsRequest>,
) -> Result<Response<pb::ListServiceAccountsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn delete_service_account(
    _app: &App,
    _request: Request<pb::DeleteServiceAccountRequest>,
) -> Result<Response<pb::DeleteServiceAccountResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
