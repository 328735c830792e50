//! The contract's calls about sign up.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn sign_up(
    _app: &App,
    _request: Request<pb::SignUpRequest>,
) -> Result<Response<pb::SignUpResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn resend_verification(
    _app: &App,
    _request: Request<pb::ResendVerificationRequest>,
) -> Result<Response<pb::ResendVerificationResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn verify_email(
    _app: &App,
    _request: Request<pb::VerifyEmailRequest>,
) -> Result<Response<pb::VerifyEmailResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
