//! The contract's calls about second factor.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use crate::app::App;

pub(super) async fn complete_sign_in(
    _app: &App,
    _request: Request<pb::CompleteSignInRequest>,
) -> Result<Response<pb::CompleteSignInResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn step_up(
    _app: &App,
    _request: Request<pb::StepUpRequest>,
) -> Result<Response<pb::StepUpResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn enrol_totp(
    _app: &App,
    _request: Request<pb::EnrolTotpRequest>,
) -> Result<Response<pb::EnrolTotpResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn confirm_totp(
    _app: &App,
    _request: Request<pb::ConfirmTotpRequest>,
) -> Result<Response<pb::ConfirmTotpResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn remove_totp(
    _app: &App,
    _request: Request<pb::RemoveTotpRequest>,
) -> Result<Response<pb::RemoveTotpResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}

pub(super) async fn renew_recovery_codes(
    _app: &App,
    _request: Request<pb::RenewRecoveryCodesRequest>,
) -> Result<Response<pb::RenewRecoveryCodesResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
}
