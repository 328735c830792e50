//! The contract's calls about invitations.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, id_from_pb, origin_from_pb, role_from_pb, role_to_pb, time_to_pb};
use super::organisations::organisation_to_pb;
use crate::app::App;
use crate::store::entity::programs::invitation;
use crate::store::subjects;

pub(super) async fn invite(
    app: &App,
    request: Request<pb::InviteRequest>,
) -> Result<Response<pb::InviteResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let organisation = id_from_pb(&request.organisation_id)?;
    let role = role_from_pb(request.role)?;
    let invitation = app
        .invite(&caller, organisation, &request.email, role, &origin)
        .await?;
    Ok(Response::new(pb::InviteResponse {
        invitation: Some(invitation_to_pb(invitation)),
    }))
}

pub(super) async fn list_invitations(
    app: &App,
    request: Request<pb::ListInvitationsRequest>,
) -> Result<Response<pb::ListInvitationsResponse>, Status> {
    let caller = caller(&request)?;
    let organisation = id_from_pb(&request.get_ref().organisation_id)?;
    let invitations = app.invitations(&caller, organisation).await?;
    Ok(Response::new(pb::ListInvitationsResponse {
        invitations: invitations.into_iter().map(invitation_to_pb).collect(),
    }))
}

pub(super) async fn revoke_invitation(
    app: &App,
    request: Request<pb::RevokeInvitationRequest>,
) -> Result<Response<pb::RevokeInvitationResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.revoke_invitation(&caller, id_from_pb(&request.id)?, &origin)
        .await?;
    Ok(Response::new(pb::RevokeInvitationResponse {}))
}

pub(super) async fn accept_invitation(
    app: &App,
    request: Request<pb::AcceptInvitationRequest>,
) -> Result<Response<pb::AcceptInvitationResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let seen = app
        .accept_invitation(&caller, &request.code, &origin)
        .await?;
    Ok(Response::new(pb::AcceptInvitationResponse {
        organisation: Some(organisation_to_pb(seen)),
    }))
}

fn invitation_to_pb(invitation: invitation::Model) -> pb::Invitation {
    let role = subjects::role_from_code(invitation.role);
    pb::Invitation {
        id: invitation.id.to_string(),
        email: invitation.email,
        role: role.map_or(pb::Role::Unspecified, role_to_pb).into(),
        create_time: Some(time_to_pb(invitation.create_time)),
        expire_time: Some(time_to_pb(invitation.expire_time)),
    }
}
