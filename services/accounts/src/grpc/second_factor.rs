//! The contract's calls about second factors.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, origin_from_pb, time_to_pb, tokens_to_pb};
use crate::app::App;
use crate::app::second_factor::Challenge;
use crate::app::step_up::Proof;
use crate::error::Error;

/// A sign-in that needs a second step.
pub(super) fn challenge_to_pb(challenge: Challenge) -> pb::Challenge {
    pb::Challenge {
        token: challenge.token,
        methods: challenge.methods.into_iter().map(str::to_owned).collect(),
        expire_time: Some(time_to_pb(challenge.expire_time)),
    }
}

pub(super) async fn complete_sign_in(
    app: &App,
    request: Request<pb::CompleteSignInRequest>,
) -> Result<Response<pb::CompleteSignInResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let tokens = app
        .complete_sign_in(&request.challenge_token, &request.code, &origin)
        .await?;
    Ok(Response::new(pb::CompleteSignInResponse {
        tokens: Some(tokens_to_pb(tokens)),
    }))
}

pub(super) async fn step_up(
    app: &App,
    request: Request<pb::StepUpRequest>,
) -> Result<Response<pb::StepUpResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let proof = match (request.password.as_str(), request.totp_code.as_str()) {
        (password, "") if !password.is_empty() => Proof::Password(password),
        ("", code) if !code.is_empty() => Proof::Totp(code),
        _ => {
            let problem = "or totp_code is needed, and not both";
            return Err(field("password", problem).into());
        }
    };
    let origin = origin_from_pb(request.origin);
    let tokens = app.step_up(&caller, proof, &origin).await?;
    Ok(Response::new(pb::StepUpResponse {
        tokens: Some(tokens_to_pb(tokens)),
    }))
}

pub(super) async fn enrol_totp(
    app: &App,
    request: Request<pb::EnrolTotpRequest>,
) -> Result<Response<pb::EnrolTotpResponse>, Status> {
    let enrolment = app.enrol_totp(&caller(&request)?).await?;
    Ok(Response::new(pb::EnrolTotpResponse {
        otpauth_url: enrolment.url,
        secret: enrolment.secret,
    }))
}

pub(super) async fn confirm_totp(
    app: &App,
    request: Request<pb::ConfirmTotpRequest>,
) -> Result<Response<pb::ConfirmTotpResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let recovery_codes = app.confirm_totp(&caller, &request.code, &origin).await?;
    Ok(Response::new(pb::ConfirmTotpResponse { recovery_codes }))
}

pub(super) async fn remove_totp(
    app: &App,
    request: Request<pb::RemoveTotpRequest>,
) -> Result<Response<pb::RemoveTotpResponse>, Status> {
    let caller = caller(&request)?;
    let origin = origin_from_pb(request.into_inner().origin);
    app.remove_totp(&caller, &origin).await?;
    Ok(Response::new(pb::RemoveTotpResponse {}))
}

pub(super) async fn renew_recovery_codes(
    app: &App,
    request: Request<pb::RenewRecoveryCodesRequest>,
) -> Result<Response<pb::RenewRecoveryCodesResponse>, Status> {
    let caller = caller(&request)?;
    let origin = origin_from_pb(request.into_inner().origin);
    let recovery_codes = app.renew_recovery_codes(&caller, &origin).await?;
    let answer = pb::RenewRecoveryCodesResponse { recovery_codes };
    Ok(Response::new(answer))
}

const fn field(field: &'static str, problem: &'static str) -> Error {
    Error::Field { field, problem }
}
