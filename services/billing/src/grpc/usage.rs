//! The contract's calls about usage.

use futures::StreamExt;
use kinora_proto::billing::v1 as pb;
use tonic::{Request, Response, Status};

use super::ServerStream;
use super::convert::{caller, format_from_pb};
use crate::app::App;
use crate::domain::usage::UsageLine;

pub(super) async fn get_usage(
    app: &App,
    request: Request<pb::GetUsageRequest>,
) -> Result<Response<pb::GetUsageResponse>, Status> {
    let payer = caller(&request)?.payer;
    let message = request.into_inner();
    let (lines, credits) = app
        .usage(&payer, &message.from_day, &message.to_day)
        .await?;
    Ok(Response::new(pb::GetUsageResponse {
        usage: lines.into_iter().map(line_to_pb).collect(),
        credits: credits.into(),
    }))
}

pub(super) async fn export_usage(
    app: &App,
    request: Request<pb::ExportUsageRequest>,
) -> Result<Response<ServerStream<pb::ExportUsageResponse>>, Status> {
    let payer = caller(&request)?.payer;
    let message = request.into_inner();
    let format = format_from_pb(message.format)?;
    let chunks = app.export_usage(payer, &message.from_day, &message.to_day, format);
    let messages = chunks
        .await?
        .map(|chunk| Ok(pb::ExportUsageResponse { chunk: chunk? }));
    Ok(Response::new(Box::pin(messages)))
}

fn line_to_pb(line: UsageLine) -> pb::Usage {
    let organisation = line.payer.organisation();
    pb::Usage {
        day: line.day,
        model: line.model,
        user_id: line.user.to_string(),
        organisation_id: organisation.map(|id| id.to_string()).unwrap_or_default(),
        clips: line.clips,
        seconds: line.seconds,
        credits: line.credits.into(),
    }
}
