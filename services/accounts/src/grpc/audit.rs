//! The contract's calls about audit.

use futures::StreamExt;
use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::ServerStream;
use super::convert::{caller, caller_at, time_from_pb, time_to_pb};
use crate::app::App;
use crate::domain::audit::Filter;
use crate::error::Error;
use crate::store::entity::trust::audit;

pub(super) async fn list_activity(
    app: &App,
    request: Request<pb::ListActivityRequest>,
) -> Result<Response<pb::ListActivityResponse>, Status> {
    let user = caller(&request)?.id;
    let message = request.into_inner();
    let page = app.activity(user, message.page_size, &message.page_token);
    let (lines, next_page_token) = page.await?;
    Ok(Response::new(pb::ListActivityResponse {
        entries: lines.into_iter().map(entry_to_pb).collect(),
        next_page_token,
    }))
}

pub(super) async fn list_audit(
    app: &App,
    request: Request<pb::ListAuditRequest>,
) -> Result<Response<pb::ListAuditResponse>, Status> {
    let message = request.into_inner();
    let filter = filter_from_pb(message.filter)?;
    let page = app.audit_lines(&filter, message.page_size, &message.page_token);
    let (lines, next_page_token) = page.await?;
    Ok(Response::new(pb::ListAuditResponse {
        entries: lines.into_iter().map(entry_to_pb).collect(),
        next_page_token,
    }))
}

pub(super) async fn export_audit(
    app: &App,
    request: Request<pb::ExportAuditRequest>,
) -> Result<Response<ServerStream<pb::ExportAuditResponse>>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let filter = filter_from_pb(request.into_inner().filter)?;
    let chunks = app.export_audit(&operator, filter).await?;
    let messages = chunks.map(|lines| {
        let entries = lines?.into_iter().map(entry_to_pb).collect();
        Ok(pb::ExportAuditResponse { entries })
    });
    Ok(Response::new(Box::pin(messages)))
}

fn filter_from_pb(filter: Option<pb::AuditFilter>) -> Result<Filter, Error> {
    let filter = filter.unwrap_or_default();
    let given = |text: String| (!text.is_empty()).then_some(text);
    let subject = given(filter.subject).map(|text| text.parse());
    let subject = subject.transpose().map_err(|_| Error::Field {
        field: "filter.subject",
        problem: "is no UUID",
    })?;
    let since = filter.since.map(|time| time_from_pb(time, "filter.since"));
    let until = filter.until.map(|time| time_from_pb(time, "filter.until"));
    Ok(Filter {
        actor: given(filter.actor),
        subject,
        action: given(filter.action),
        since: since.transpose()?,
        until: until.transpose()?,
    })
}

fn entry_to_pb(line: audit::Model) -> pb::AuditEntry {
    pb::AuditEntry {
        id: line.id.to_string(),
        time: Some(time_to_pb(line.time)),
        actor: line.actor,
        subject: line.subject.map(|id| id.to_string()).unwrap_or_default(),
        action: line.action,
        succeeded: line.succeeded,
        detail: line.detail,
        origin: Some(pb::Origin {
            address: line.address,
            user_agent: line.user_agent,
        }),
    }
}
