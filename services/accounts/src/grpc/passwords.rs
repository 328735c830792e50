//! The contract's calls about passwords and addresses.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, origin_from_pb};
use crate::app::App;

pub(super) async fn request_password_reset(
    app: &App,
    request: Request<pb::RequestPasswordResetRequest>,
) -> Result<Response<pb::RequestPasswordResetResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.request_password_reset(&request.email, &origin).await?;
    Ok(Response::new(pb::RequestPasswordResetResponse {}))
}

pub(super) async fn reset_password(
    app: &App,
    request: Request<pb::ResetPasswordRequest>,
) -> Result<Response<pb::ResetPasswordResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.reset_password(&request.code, &request.new_password, &origin)
        .await?;
    Ok(Response::new(pb::ResetPasswordResponse {}))
}

pub(super) async fn change_password(
    app: &App,
    request: Request<pb::ChangePasswordRequest>,
) -> Result<Response<pb::ChangePasswordResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.change_password(
        &caller,
        &request.current_password,
        &request.new_password,
        request.sign_out_elsewhere,
        &origin,
    )
    .await?;
    Ok(Response::new(pb::ChangePasswordResponse {}))
}

pub(super) async fn change_email(
    app: &App,
    request: Request<pb::ChangeEmailRequest>,
) -> Result<Response<pb::ChangeEmailResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.change_email(&caller, &request.new_email, &origin)
        .await?;
    Ok(Response::new(pb::ChangeEmailResponse {}))
}
