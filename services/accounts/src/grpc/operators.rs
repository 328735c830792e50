//! The contract's calls about operators.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn list_users(
    _app: &App,
    _request: Request<pb::ListUsersRequest>,
) -> Result<Response<pb::ListUsersResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn get_user_by_id(
    _app: &App,
    _request: Request<pb::GetUserByIdRequest>,
) -> Result<Response<pb::GetUserByIdResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn create_user(
    _app: &App,
    _request: Request<pb::CreateUserRequest>,
) -> Result<Response<pb::CreateUserResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn disable_user(
    _app: &App,
    _request: Request<pb::DisableUserRequest>,
) -> Result<Response<pb::DisableUserResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn enable_user(
    _app: &App,
    _request: Request<pb::EnableUserRequest>,
) -> Result<Response<pb::EnableUserResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn set_operator(
    _app: &App,
    _request: Request<pb::SetOperatorRequest>,
) -> Result<Response<pb::SetOperatorResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn sign_out_user(
    _app: &App,
    _request: Request<pb::SignOutUserRequest>,
) -> Result<Response<pb::SignOutUserResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn reset_second_factors(
    _app: &App,
    _request: Request<pb::ResetSecondFactorsRequest>,
) -> Result<Response<pb::ResetSecondFactorsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_all_organisations(
    _app: &App,
    _request: Request<pb::ListAllOrganisationsRequest>,
) -> Result<Response<pb::ListAllOrganisationsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_keys_of(
    _app: &App,
    _request: Request<pb::ListKeysOfRequest>,
) -> Result<Response<pb::ListKeysOfResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn revoke_key(
    _app: &App,
    _request: Request<pb::RevokeKeyRequest>,
) -> Result<Response<pb::RevokeKeyResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
