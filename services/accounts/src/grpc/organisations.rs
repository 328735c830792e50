//! The contract's calls about organisations.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{caller, id_from_pb, origin_from_pb, role_from_pb, role_to_pb, time_to_pb};
use crate::app::App;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::members::Member;
use crate::store::organisations::Seen;

/// Members on a page, when the caller does not say.
const PAGE: u32 = 50;

/// And at most.
const MAX_PAGE: u32 = 200;

pub(super) async fn create_organisation(
    app: &App,
    request: Request<pb::CreateOrganisationRequest>,
) -> Result<Response<pb::CreateOrganisationResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let seen = app
        .create_organisation(&caller, &request.name, &origin)
        .await?;
    Ok(Response::new(pb::CreateOrganisationResponse {
        organisation: Some(organisation_to_pb(seen)),
    }))
}

pub(super) async fn get_organisation(
    app: &App,
    request: Request<pb::GetOrganisationRequest>,
) -> Result<Response<pb::GetOrganisationResponse>, Status> {
    let caller = caller(&request)?;
    let id = id_from_pb(&request.get_ref().id)?;
    let seen = app.organisation(&caller, id).await?;
    Ok(Response::new(pb::GetOrganisationResponse {
        organisation: Some(organisation_to_pb(seen)),
    }))
}

pub(super) async fn list_organisations(
    app: &App,
    request: Request<pb::ListOrganisationsRequest>,
) -> Result<Response<pb::ListOrganisationsResponse>, Status> {
    let caller = caller(&request)?;
    let seen = app.organisations(&caller).await?;
    Ok(Response::new(pb::ListOrganisationsResponse {
        organisations: seen.into_iter().map(organisation_to_pb).collect(),
    }))
}

pub(super) async fn update_organisation(
    app: &App,
    request: Request<pb::UpdateOrganisationRequest>,
) -> Result<Response<pb::UpdateOrganisationResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let id = id_from_pb(&request.id)?;
    let seen = app
        .rename_organisation(&caller, id, &request.name, &origin)
        .await?;
    Ok(Response::new(pb::UpdateOrganisationResponse {
        organisation: Some(organisation_to_pb(seen)),
    }))
}

pub(super) async fn delete_organisation(
    app: &App,
    request: Request<pb::DeleteOrganisationRequest>,
) -> Result<Response<pb::DeleteOrganisationResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.delete_organisation(&caller, id_from_pb(&request.id)?, &origin)
        .await?;
    Ok(Response::new(pb::DeleteOrganisationResponse {}))
}

pub(super) async fn list_members(
    app: &App,
    request: Request<pb::ListMembersRequest>,
) -> Result<Response<pb::ListMembersResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let organisation = id_from_pb(&request.organisation_id)?;
    let after = page_token_from_pb(&request.page_token)?;
    let limit = match request.page_size {
        0 => PAGE,
        size => size.min(MAX_PAGE),
    };
    let (members, next) = app
        .members(&caller, organisation, after, limit.into())
        .await?;
    Ok(Response::new(pb::ListMembersResponse {
        members: members.into_iter().map(member_to_pb).collect(),
        next_page_token: next.map(|id| id.simple().to_string()).unwrap_or_default(),
    }))
}

pub(super) async fn change_role(
    app: &App,
    request: Request<pb::ChangeRoleRequest>,
) -> Result<Response<pb::ChangeRoleResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let organisation = id_from_pb(&request.organisation_id)?;
    let user = id_from_pb(&request.user_id)?;
    let role = role_from_pb(request.role)?;
    let member = app
        .change_role(&caller, organisation, user, role, &origin)
        .await?;
    Ok(Response::new(pb::ChangeRoleResponse {
        member: Some(member_to_pb(member)),
    }))
}

pub(super) async fn remove_member(
    app: &App,
    request: Request<pb::RemoveMemberRequest>,
) -> Result<Response<pb::RemoveMemberResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let organisation = id_from_pb(&request.organisation_id)?;
    let user = id_from_pb(&request.user_id)?;
    app.remove_member(&caller, organisation, user, &origin)
        .await?;
    Ok(Response::new(pb::RemoveMemberResponse {}))
}

pub(super) fn organisation_to_pb(seen: Seen) -> pb::Organisation {
    pb::Organisation {
        id: seen.organisation.id.to_string(),
        name: seen.organisation.name,
        role: role_to_pb(seen.role).into(),
        members: u32::try_from(seen.members).unwrap_or(u32::MAX),
        create_time: Some(time_to_pb(seen.organisation.create_time)),
    }
}

fn member_to_pb(member: Member) -> pb::Member {
    pb::Member {
        user_id: member.user.id.to_string(),
        email: member.user.email,
        display_name: member.user.display_name,
        role: role_to_pb(member.role).into(),
        join_time: Some(time_to_pb(member.join_time)),
    }
}

/// The member at whom the last page ended.
fn page_token_from_pb(token: &str) -> Result<Option<Uuid>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let id = token.parse().map_err(|_| Refusal::PageTokenInvalid)?;
    Ok(Some(id))
}
