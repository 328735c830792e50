//! The contract's calls about sign in.

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::sign_in_response::Outcome;
use tonic::{Request, Response, Status};

use super::convert::{id_from_pb, origin_from_pb, time_to_pb, tokens_to_pb};
use crate::app::second_factor::SignedIn;
use crate::app::{App, Switch};

pub(super) async fn sign_in(
    app: &App,
    request: Request<pb::SignInRequest>,
) -> Result<Response<pb::SignInResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let signed_in = app.sign_in(&request.email, &request.password, &origin);
    let outcome = match signed_in.await? {
        SignedIn::Tokens(tokens) => Outcome::Tokens(tokens_to_pb(tokens)),
        SignedIn::Challenge(challenge) => Outcome::Challenge(pb::Challenge {
            token: challenge.token,
            methods: challenge.methods.into_iter().map(str::to_owned).collect(),
            expire_time: Some(time_to_pb(challenge.expire_time)),
        }),
    };
    let outcome = Some(outcome);
    Ok(Response::new(pb::SignInResponse { outcome }))
}

pub(super) async fn refresh(
    app: &App,
    request: Request<pb::RefreshRequest>,
) -> Result<Response<pb::RefreshResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let switch = match request.organisation_id.as_str() {
        "" => Switch::Keep,
        "personal" => Switch::Personal,
        id => Switch::To(id_from_pb(id)?),
    };
    let tokens = app.refresh(&request.refresh_token, switch, &origin).await?;
    Ok(Response::new(pb::RefreshResponse {
        tokens: Some(tokens_to_pb(tokens)),
    }))
}

pub(super) async fn sign_out(
    app: &App,
    request: Request<pb::SignOutRequest>,
) -> Result<Response<pb::SignOutResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.sign_out(&request.refresh_token, &origin).await?;
    Ok(Response::new(pb::SignOutResponse {}))
}
