//! The contract's calls about profile.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::caller;
use super::user_view::user_to_pb;
use crate::app::App;

pub(super) async fn get_user(
    app: &App,
    request: Request<pb::GetUserRequest>,
) -> Result<Response<pb::GetUserResponse>, Status> {
    let user = app.own_user(&caller(&request)?).await?;
    Ok(Response::new(pb::GetUserResponse {
        user: Some(user_to_pb(app, user)),
    }))
}

pub(super) async fn update_user(
    app: &App,
    request: Request<pb::UpdateUserRequest>,
) -> Result<Response<pb::UpdateUserResponse>, Status> {
    let caller = caller(&request)?;
    let name = &request.get_ref().display_name;
    let user = app.rename_user(&caller, name).await?;
    Ok(Response::new(pb::UpdateUserResponse {
        user: Some(user_to_pb(app, user)),
    }))
}
