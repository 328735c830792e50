//! Answers about organisations.

use std::sync::Arc;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::organisation_service_server::OrganisationService;
use tonic::{Request, Response, Status};

use super::{invitations, organisations};
use crate::app::App;

/// Answers about organisations.
pub struct OrganisationGrpc {
    app: Arc<App>,
}

impl OrganisationGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl OrganisationService for OrganisationGrpc {
    async fn create_organisation(
        &self,
        request: Request<pb::CreateOrganisationRequest>,
    ) -> Result<Response<pb::CreateOrganisationResponse>, Status> {
        organisations::create_organisation(&self.app, request).await
    }

    async fn get_organisation(
        &self,
        request: Request<pb::GetOrganisationRequest>,
    ) -> Result<Response<pb::GetOrganisationResponse>, Status> {
        organisations::get_organisation(&self.app, request).await
    }

    async fn list_organisations(
        &self,
        request: Request<pb::ListOrganisationsRequest>,
    ) -> Result<Response<pb::ListOrganisationsResponse>, Status> {
        organisations::list_organisations(&self.app, request).await
    }

    async fn update_organisation(
        &self,
        request: Request<pb::UpdateOrganisationRequest>,
    ) -> Result<Response<pb::UpdateOrganisationResponse>, Status> {
        organisations::update_organisation(&self.app, request).await
    }

    async fn delete_organisation(
        &self,
        request: Request<pb::DeleteOrganisationRequest>,
    ) -> Result<Response<pb::DeleteOrganisationResponse>, Status> {
        organisations::delete_organisation(&self.app, request).await
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Result<Response<pb::ListMembersResponse>, Status> {
        organisations::list_members(&self.app, request).await
    }

    async fn change_role(
        &self,
        request: Request<pb::ChangeRoleRequest>,
    ) -> Result<Response<pb::ChangeRoleResponse>, Status> {
        organisations::change_role(&self.app, request).await
    }

    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Result<Response<pb::RemoveMemberResponse>, Status> {
        organisations::remove_member(&self.app, request).await
    }

    async fn invite(
        &self,
        request: Request<pb::InviteRequest>,
    ) -> Result<Response<pb::InviteResponse>, Status> {
        invitations::invite(&self.app, request).await
    }

    async fn list_invitations(
        &self,
        request: Request<pb::ListInvitationsRequest>,
    ) -> Result<Response<pb::ListInvitationsResponse>, Status> {
        invitations::list_invitations(&self.app, request).await
    }

    async fn revoke_invitation(
        &self,
        request: Request<pb::RevokeInvitationRequest>,
    ) -> Result<Response<pb::RevokeInvitationResponse>, Status> {
        invitations::revoke_invitation(&self.app, request).await
    }

    async fn accept_invitation(
        &self,
        request: Request<pb::AcceptInvitationRequest>,
    ) -> Result<Response<pb::AcceptInvitationResponse>, Status> {
        invitations::accept_invitation(&self.app, request).await
    }
}
