//! The contract's calls about sessions.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{caller, caller_at, id_from_pb, time_to_pb};
use crate::app::App;
use crate::store::entity::people::session;

pub(super) async fn list_sessions(
    app: &App,
    request: Request<pb::ListSessionsRequest>,
) -> Result<Response<pb::ListSessionsResponse>, Status> {
    let caller = caller(&request)?;
    let sessions = app.sessions_of(&caller).await?.into_iter();
    let sessions = sessions.map(|row| session_to_pb(row, caller.session));
    Ok(Response::new(pb::ListSessionsResponse {
        sessions: sessions.collect(),
    }))
}

pub(super) async fn revoke_session(
    app: &App,
    request: Request<pb::RevokeSessionRequest>,
) -> Result<Response<pb::RevokeSessionResponse>, Status> {
    let id = id_from_pb(&request.get_ref().id)?;
    let caller = caller_at(&request, |message| &message.origin)?;
    app.revoke_session(&caller, id).await?;
    Ok(Response::new(pb::RevokeSessionResponse {}))
}

pub(super) async fn revoke_other_sessions(
    app: &App,
    request: Request<pb::RevokeOtherSessionsRequest>,
) -> Result<Response<pb::RevokeOtherSessionsResponse>, Status> {
    let caller = caller_at(&request, |message| &message.origin)?;
    let revoked = app.revoke_other_sessions(&caller).await?;
    Ok(Response::new(pb::RevokeOtherSessionsResponse { revoked }))
}

fn session_to_pb(row: session::Model, current: Uuid) -> pb::Session {
    pb::Session {
        id: row.id.to_string(),
        is_current: row.id == current,
        user_agent: row.user_agent,
        address: row.address,
        methods: row.methods.split(' ').map(str::to_owned).collect(),
        create_time: Some(time_to_pb(row.create_time)),
        last_use_time: Some(time_to_pb(row.last_use_time)),
        expire_time: Some(time_to_pb(row.expire_time)),
    }
}
