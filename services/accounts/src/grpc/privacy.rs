//! The contract's calls about privacy.

use futures::StreamExt;
use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::ServerStream;
use super::convert::{caller, origin_from_pb, time_to_pb};
use crate::app::App;

pub(super) async fn export_data(
    app: &App,
    request: Request<pb::ExportDataRequest>,
) -> Result<Response<ServerStream<pb::ExportDataResponse>>, Status> {
    let caller = caller(&request)?;
    let origin = origin_from_pb(request.into_inner().origin);
    let chunks = app.export_data(&caller, &origin).await?;
    let messages = chunks.map(|chunk| Ok(pb::ExportDataResponse { chunk: chunk? }));
    Ok(Response::new(Box::pin(messages)))
}

pub(super) async fn erase_user(
    app: &App,
    request: Request<pb::EraseUserRequest>,
) -> Result<Response<pb::EraseUserResponse>, Status> {
    let caller = caller(&request)?;
    let origin = origin_from_pb(request.into_inner().origin);
    let erase_time = app.erase_user(&caller, &origin).await?;
    Ok(Response::new(pb::EraseUserResponse {
        erase_time: Some(time_to_pb(erase_time)),
    }))
}

pub(super) async fn cancel_erasure(
    app: &App,
    request: Request<pb::CancelErasureRequest>,
) -> Result<Response<pb::CancelErasureResponse>, Status> {
    let caller = caller(&request)?;
    let origin = origin_from_pb(request.into_inner().origin);
    app.cancel_erasure(&caller, &origin).await?;
    Ok(Response::new(pb::CancelErasureResponse {}))
}
