//! The contract's calls about terms.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, caller_at, origin_from_pb, time_to_pb};
use crate::app::App;
use crate::domain::terms::{Acceptance, Terms};

pub(super) async fn get_terms(
    app: &App,
    _request: Request<pb::GetTermsRequest>,
) -> Result<Response<pb::GetTermsResponse>, Status> {
    let terms = app.terms_in_force().await?.map(terms_to_pb);
    Ok(Response::new(pb::GetTermsResponse { terms }))
}

pub(super) async fn accept_terms(
    app: &App,
    request: Request<pb::AcceptTermsRequest>,
) -> Result<Response<pb::AcceptTermsResponse>, Status> {
    let caller = caller(&request)?;
    let message = request.into_inner();
    let origin = origin_from_pb(message.origin);
    app.accept_terms(&caller, message.version, &message.sha256, &origin)
        .await?;
    Ok(Response::new(pb::AcceptTermsResponse {}))
}

pub(super) async fn list_terms_acceptances(
    app: &App,
    request: Request<pb::ListTermsAcceptancesRequest>,
) -> Result<Response<pb::ListTermsAcceptancesResponse>, Status> {
    let found = app.terms_acceptances(caller(&request)?.id).await?;
    let acceptances = found.into_iter().map(acceptance_to_pb).collect();
    Ok(Response::new(pb::ListTermsAcceptancesResponse {
        acceptances,
    }))
}

pub(super) async fn publish_terms(
    app: &App,
    request: Request<pb::PublishTermsRequest>,
) -> Result<Response<pb::PublishTermsResponse>, Status> {
    let operator = caller_at(&request, |message| &message.origin)?;
    let made = app.publish_terms(&operator, request.into_inner().text);
    let terms = Some(terms_to_pb(made.await?));
    Ok(Response::new(pb::PublishTermsResponse { terms }))
}

pub(super) async fn list_terms(
    app: &App,
    _request: Request<pb::ListTermsRequest>,
) -> Result<Response<pb::ListTermsResponse>, Status> {
    let found = app.list_terms().await?;
    let terms = found.into_iter().map(terms_to_pb).collect();
    Ok(Response::new(pb::ListTermsResponse { terms }))
}

fn terms_to_pb(terms: Terms) -> pb::Terms {
    pb::Terms {
        version: terms.version.unsigned_abs(),
        sha256: terms.sha256,
        text: terms.text,
        publish_time: Some(time_to_pb(terms.publish_time)),
    }
}

fn acceptance_to_pb(acceptance: Acceptance) -> pb::TermsAcceptance {
    pb::TermsAcceptance {
        version: acceptance.version.unsigned_abs(),
        sha256: acceptance.sha256,
        time: Some(time_to_pb(acceptance.time)),
        address: acceptance.address,
    }
}
