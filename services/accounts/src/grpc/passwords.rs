//! The contract's calls about passwords.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn request_password_reset(
    _app: &App,
    _request: Request<pb::RequestPasswordResetRequest>,
) -> Result<Response<pb::RequestPasswordResetResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn reset_password(
    _app: &App,
    _request: Request<pb::ResetPasswordRequest>,
) -> Result<Response<pb::ResetPasswordResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn change_password(
    _app: &App,
    _request: Request<pb::ChangePasswordRequest>,
) -> Result<Response<pb::ChangePasswordResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn change_email(
    _app: &App,
    _request: Request<pb::ChangeEmailRequest>,
) -> Result<Response<pb::ChangeEmailResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
