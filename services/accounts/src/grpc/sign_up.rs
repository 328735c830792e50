//! The contract's calls about sign-up.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{origin_from_pb, tokens_to_pb};
use super::user_view::user_to_pb;
use crate::app::App;

pub(super) async fn sign_up(
    app: &App,
    request: Request<pb::SignUpRequest>,
) -> Result<Response<pb::SignUpResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.sign_up(
        &request.email,
        &request.password,
        &request.display_name,
        &origin,
    )
    .await?;
    Ok(Response::new(pb::SignUpResponse {}))
}

pub(super) async fn resend_verification(
    app: &App,
    request: Request<pb::ResendVerificationRequest>,
) -> Result<Response<pb::ResendVerificationResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.resend_verification(&request.email, &origin).await?;
    Ok(Response::new(pb::ResendVerificationResponse {}))
}

pub(super) async fn verify_email(
    app: &App,
    request: Request<pb::VerifyEmailRequest>,
) -> Result<Response<pb::VerifyEmailResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let verified = app
        .verify_email(&request.code, &request.password, &origin)
        .await?;
    let user = app.view_of(app.store.reader(), verified.user).await?;
    Ok(Response::new(pb::VerifyEmailResponse {
        user: Some(user_to_pb(app, user)),
        tokens: verified.tokens.map(tokens_to_pb),
    }))
}
