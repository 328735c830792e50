//! The contract's calls about operators.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller_at, id_from_pb, time_to_pb};
use super::keys::key_to_pb;
use super::user_view::user_to_pb;
use crate::app::App;
use crate::app::operators::NewUser;
use crate::store::entity::programs::organisation;

pub(super) async fn list_users(
    app: &App,
    request: Request<pb::ListUsersRequest>,
) -> Result<Response<pb::ListUsersResponse>, Status> {
    let message = request.into_inner();
    let page = app.list_users(&message.query, message.page_size, &message.page_token);
    let (found, next_page_token) = page.await?;
    Ok(Response::new(pb::ListUsersResponse {
        users: found
            .into_iter()
            .map(|view| user_to_pb(app, view))
            .collect(),
        next_page_token,
    }))
}

pub(super) async fn get_user_by_id(
    app: &App,
    request: Request<pb::GetUserByIdRequest>,
) -> Result<Response<pb::GetUserByIdResponse>, Status> {
    let id = id_from_pb(&request.get_ref().id)?;
    let found = app.find_user(id).await?;
    let user = Some(user_to_pb(app, found));
    Ok(Response::new(pb::GetUserByIdResponse { user }))
}

pub(super) async fn create_user(
    app: &App,
    request: Request<pb::CreateUserRequest>,
) -> Result<Response<pb::CreateUserResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let message = request.into_inner();
    let new = NewUser {
        email: &message.email,
        display_name: &message.display_name,
        is_operator: message.is_operator,
    };
    let made = app.create_user(&operator, new).await?;
    let user = Some(user_to_pb(app, made));
    Ok(Response::new(pb::CreateUserResponse { user }))
}

pub(super) async fn disable_user(
    app: &App,
    request: Request<pb::DisableUserRequest>,
) -> Result<Response<pb::DisableUserResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let message = request.into_inner();
    let id = id_from_pb(&message.id)?;
    let changed = app.disable_user(&operator, id, &message.reason).await?;
    let user = Some(user_to_pb(app, changed));
    Ok(Response::new(pb::DisableUserResponse { user }))
}

pub(super) async fn enable_user(
    app: &App,
    request: Request<pb::EnableUserRequest>,
) -> Result<Response<pb::EnableUserResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let id = id_from_pb(&request.get_ref().id)?;
    let changed = app.enable_user(&operator, id).await?;
    let user = Some(user_to_pb(app, changed));
    Ok(Response::new(pb::EnableUserResponse { user }))
}

pub(super) async fn set_operator(
    app: &App,
    request: Request<pb::SetOperatorRequest>,
) -> Result<Response<pb::SetOperatorResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let message = request.into_inner();
    let id = id_from_pb(&message.id)?;
    let changed = app.set_operator(&operator, id, message.is_operator).await?;
    let user = Some(user_to_pb(app, changed));
    Ok(Response::new(pb::SetOperatorResponse { user }))
}

pub(super) async fn sign_out_user(
    app: &App,
    request: Request<pb::SignOutUserRequest>,
) -> Result<Response<pb::SignOutUserResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let id = id_from_pb(&request.get_ref().id)?;
    let revoked = app.sign_out_user(&operator, id).await?;
    Ok(Response::new(pb::SignOutUserResponse { revoked }))
}

pub(super) async fn reset_second_factors(
    app: &App,
    request: Request<pb::ResetSecondFactorsRequest>,
) -> Result<Response<pb::ResetSecondFactorsResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let message = request.into_inner();
    let id = id_from_pb(&message.id)?;
    let changed = app.reset_second_factors(&operator, id, &message.reason);
    let user = Some(user_to_pb(app, changed.await?));
    Ok(Response::new(pb::ResetSecondFactorsResponse { user }))
}

pub(super) async fn list_all_organisations(
    app: &App,
    request: Request<pb::ListAllOrganisationsRequest>,
) -> Result<Response<pb::ListAllOrganisationsResponse>, Status> {
    let message = request.into_inner();
    let page = app.list_all_organisations(&message.query, message.page_size, &message.page_token);
    let (found, next_page_token) = page.await?;
    Ok(Response::new(pb::ListAllOrganisationsResponse {
        organisations: found.into_iter().map(summary_to_pb).collect(),
        next_page_token,
    }))
}

pub(super) async fn list_keys_of(
    app: &App,
    request: Request<pb::ListKeysOfRequest>,
) -> Result<Response<pb::ListKeysOfResponse>, Status> {
    let owner = id_from_pb(&request.get_ref().owner_id)?;
    let keys = app.keys_of(owner).await?;
    let keys = keys.into_iter().map(key_to_pb).collect();
    Ok(Response::new(pb::ListKeysOfResponse { keys }))
}

pub(super) async fn revoke_key(
    app: &App,
    request: Request<pb::RevokeKeyRequest>,
) -> Result<Response<pb::RevokeKeyResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let id = id_from_pb(&request.get_ref().id)?;
    app.revoke_key_of_anybody(&operator, id).await?;
    Ok(Response::new(pb::RevokeKeyResponse {}))
}

fn summary_to_pb((row, members): (organisation::Model, u32)) -> pb::OrganisationSummary {
    pb::OrganisationSummary {
        id: row.id.to_string(),
        name: row.name,
        members,
        create_time: Some(time_to_pb(row.create_time)),
    }
}
