//! The contract's calls about sign in.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{id_from_pb, origin_from_pb, tokens_to_pb};
use crate::app::{App, Switch};

pub(super) async fn sign_in(
    _app: &App,
    _request: Request<pb::SignInRequest>,
) -> Result<Response<pb::SignInResponse>, Status> {
    Err(Status::unimplemented("not built yet"))
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
