//! The contract's calls about age.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, caller_at, id_from_pb, origin_from_pb};
use super::user_view::{age_to_pb, user_to_pb};
use crate::app::App;
use crate::domain::verifier::Callback;

pub(super) async fn declare_age(
    app: &App,
    request: Request<pb::DeclareAgeRequest>,
) -> Result<Response<pb::DeclareAgeResponse>, Status> {
    let caller = caller(&request)?;
    let message = request.into_inner();
    let origin = origin_from_pb(message.origin);
    let age = app.declare_age(&caller, message.year_of_birth, &origin);
    let age = Some(age_to_pb(age.await?));
    Ok(Response::new(pb::DeclareAgeResponse { age }))
}

pub(super) async fn begin_age_verification(
    app: &App,
    request: Request<pb::BeginAgeVerificationRequest>,
) -> Result<Response<pb::BeginAgeVerificationResponse>, Status> {
    let url = app.begin_age_verification(&caller(&request)?).await?;
    Ok(Response::new(pb::BeginAgeVerificationResponse { url }))
}

pub(super) async fn complete_age_verification(
    app: &App,
    request: Request<pb::CompleteAgeVerificationRequest>,
) -> Result<Response<pb::CompleteAgeVerificationResponse>, Status> {
    let message = request.into_inner();
    let callback = Callback {
        body: &message.body,
        signature: &message.signature,
        timestamp: &message.timestamp,
    };
    app.complete_age_verification(callback).await?;
    Ok(Response::new(pb::CompleteAgeVerificationResponse {}))
}

pub(super) async fn set_age(
    app: &App,
    request: Request<pb::SetAgeRequest>,
) -> Result<Response<pb::SetAgeResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let message = request.into_inner();
    let id = id_from_pb(&message.id)?;
    let changed = app.set_age(&operator, id, message.is_adult, message.method);
    let user = Some(user_to_pb(app, changed.await?));
    Ok(Response::new(pb::SetAgeResponse { user }))
}
