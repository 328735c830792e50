//! The contract's calls about invitations.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn invite(
    _app: &App,
    _request: Request<pb::InviteRequest>,
) -> Result<Response<pb::InviteResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn list_invitations(
    _app: &App,
    _request: Request<pb::ListInvitationsRequest>,
) -> Result<Response<pb::ListInvitationsResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn revoke_invitation(
    _app: &App,
    _request: Request<pb::RevokeInvitationRequest>,
) -> Result<Response<pb::RevokeInvitationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn accept_invitation(
    _app: &App,
    _request: Request<pb::AcceptInvitationRequest>,
) -> Result<Response<pb::AcceptInvitationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
