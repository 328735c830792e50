//! The contract's call about the audit log.

use kinora_proto::billing::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::time_to_pb;
use crate::app::App;
use crate::store::audit::Filter;
use crate::store::entity::vouchers::audit;

pub(super) async fn list_audit(
    app: &App,
    request: Request<pb::ListAuditRequest>,
) -> Result<Response<pb::ListAuditResponse>, Status> {
    let message = request.into_inner();
    let filter = Filter {
        actor: message.actor,
        action: message.action,
        target: message.target,
    };
    let page = app.audit_lines(&filter, message.page_size, &message.page_token);
    let (lines, next_page_token) = page.await?;
    Ok(Response::new(pb::ListAuditResponse {
        entries: lines.into_iter().map(entry_to_pb).collect(),
        next_page_token,
    }))
}

fn entry_to_pb(line: audit::Model) -> pb::AuditEntry {
    pb::AuditEntry {
        id: line.id.to_string(),
        time: Some(time_to_pb(line.time)),
        actor: line.actor,
        action: line.action,
        target: line.target,
        result: line.result,
    }
}
