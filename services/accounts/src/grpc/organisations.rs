//! The contract's calls about organisations.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn create_organisation(
    _app: &App,
    _request: Request<pb::CreateOrganisationRequest>,
) -> Result<Response<pb::CreateOrganisationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn get_organisation(
    _app: &App,
    _request: Request<pb::GetOrganisationRequest>,
) -> Result<Response<pb::GetOrganisationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_organisations(
    _app: &App,
    _request: Request<pb::ListOrganisationsRequest>,
) -> Result<Response<pb::ListOrganisationsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn update_organisation(
    _app: &App,
    _request: Request<pb::UpdateOrganisationRequest>,
) -> Result<Response<pb::UpdateOrganisationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn delete_organisation(
    _app: &App,
    _request: Request<pb::DeleteOrganisationRequest>,
) -> Result<Response<pb::DeleteOrganisationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_members(
    _app: &App,
    _request: Request<pb::ListMembersRequest>,
) -> Result<Response<pb::ListMembersResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn change_role(
    _app: &App,
    _request: Request<pb::ChangeRoleRequest>,
) -> Result<Response<pb::ChangeRoleResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn remove_member(
    _app: &App,
    _request: Request<pb::RemoveMemberRequest>,
) -> Result<Response<pb::RemoveMemberResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
