//! Webhooks and their deliveries: one call of the scheduler each.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kinora_ids::JobId;
use kinora_proto::scheduler::v1::{Endpoint, ListDeliveriesRequest};

use super::body::{self, Content};
use super::query::Parameters;
use super::{Caller, Edge, Segment, split_verb};
use crate::problem::Problem;
use crate::settings;
use crate::view::{Delivery, DeliveryList, Webhook, WebhookList, WebhookWithSecret};

pub(super) async fn create(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let parser = settings::parse_new;
    let parsed =
        body::read_json(edge.intake(&caller), &headers, body, Content::Text, parser).await?;
    let made = edge
        .scheduler
        .create_endpoint(&caller, parsed.message)
        .await?;
    let webhook = with_secret(made);
    let location = [(LOCATION, format!("/v1/webhooks/{}", webhook.webhook.id))];
    Ok((StatusCode::CREATED, location, Json(webhook)).into_response())
}

pub(super) async fn list(
    State(edge): State<Edge>,
    Caller(caller): Caller,
) -> Result<Json<WebhookList>, Problem> {
    let endpoints = edge.scheduler.endpoints(&caller).await?;
    let webhooks = endpoints.into_iter().map(Webhook::from).collect();
    Ok(Json(WebhookList { webhooks }))
}

pub(super) async fn read(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
) -> Result<Json<Webhook>, Problem> {
    let id = webhook_id(&segment)?;
    Ok(Json(edge.scheduler.endpoint(&caller, id).await?.into()))
}

pub(super) async fn change(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Webhook>, Problem> {
    let id = webhook_id(&segment)?;
    let parser = settings::parse_change;
    let parsed =
        body::read_json(edge.intake(&caller), &headers, body, Content::Text, parser).await?;
    let mut message = parsed.message;
    message.id = id;
    Ok(Json(
        edge.scheduler
            .update_endpoint(&caller, message)
            .await?
            .into(),
    ))
}

pub(super) async fn delete(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
) -> Result<StatusCode, Problem> {
    edge.scheduler
        .delete_endpoint(&caller, webhook_id(&segment)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/webhooks/{id}:rotate-secret`.
pub(super) async fn act(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<WebhookWithSecret>, Problem> {
    let (id, verb) = split_verb(&segment, "GET,HEAD,PATCH,DELETE")?;
    if verb != "rotate-secret" {
        return Err(Problem::route_not_found());
    }
    let id = webhook_id(id)?;
    let (parser, content) = (settings::parse_rotation, Content::Text);
    let parsed =
        body::read_optional_json(edge.intake(&caller), &headers, body, content, parser).await?;
    let mut message = parsed.message;
    message.id = id;
    let rotated = edge.scheduler.rotate_secret(&caller, message).await?;
    Ok(Json(with_secret(rotated)))
}

pub(super) async fn deliveries(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
    uri: Uri,
) -> Result<Json<DeliveryList>, Problem> {
    let mut parameters = Parameters::of(&uri, &["page_size", "page_token"])?;
    let message = ListDeliveriesRequest {
        endpoint_id: webhook_id(&segment)?,
        page_size: parameters.page_size()?,
        page_token: parameters.text("page_token"),
    };
    let page = edge.scheduler.deliveries(&caller, message).await?;
    Ok(Json(DeliveryList {
        deliveries: page.deliveries.into_iter().map(Delivery::from).collect(),
        next_page_token: page.next_page_token,
    }))
}

/// `POST /v1/deliveries/{id}:replay`.
pub(super) async fn replay(
    State(edge): State<Edge>,
    Caller(caller): Caller,
    Segment(segment): Segment,
) -> Result<Json<Delivery>, Problem> {
    let Some((id, "replay")) = segment.rsplit_once(':') else {
        return Err(Problem::route_not_found());
    };
    let unknown = |_| Problem::not_found("DELIVERY_NOT_FOUND", "delivery");
    let id: JobId = id.parse().map_err(unknown)?;
    let delivery = edge
        .scheduler
        .replay_delivery(&caller, id.to_string())
        .await?;
    Ok(Json(delivery.into()))
}

fn with_secret((endpoint, secret): (Endpoint, String)) -> WebhookWithSecret {
    WebhookWithSecret {
        webhook: endpoint.into(),
        secret,
    }
}

/// What cannot be an id is answered as an unknown one. All ids of the scheduler have one form.
fn webhook_id(segment: &str) -> Result<String, Problem> {
    let id = segment.parse::<JobId>();
    id.map(|id| id.to_string())
        .map_err(|_| Problem::not_found("ENDPOINT_NOT_FOUND", "webhook"))
}
