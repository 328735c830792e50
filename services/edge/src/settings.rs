//! What callers say about webhooks, and operators about tenants, read strictly from JSON.

use kinora_proto::scheduler::v1::{
    CreateEndpointRequest, RotateSecretRequest, SetTenantRequest, UpdateEndpointRequest,
};

use crate::fields::{Fields, Rejected};

/// More than there are kinds of events.
const MAX_EVENTS: usize = 16;

/// Reads the body of `POST /v1/webhooks`.
///
/// # Errors
///
/// [`Rejected`], naming every field that is wrong.
pub(crate) fn parse_new(body: &[u8]) -> Result<CreateEndpointRequest, Rejected> {
    let mut fields = Fields::read(body, &["url", "events", "video_id"])?;
    fields.require("url");
    let message = CreateEndpointRequest {
        url: fields.text("url").unwrap_or_default(),
        events: fields.texts("events", 0..=MAX_EVENTS).unwrap_or_default(),
        job_id: fields.video_id("video_id").unwrap_or_default(),
    };
    fields.finish()?;
    Ok(message)
}

/// Reads the body of `PATCH /v1/webhooks/{id}`: the fields that change. The id is left to the caller.
///
/// # Errors
///
/// As [`parse_new`].
pub(crate) fn parse_change(body: &[u8]) -> Result<UpdateEndpointRequest, Rejected> {
    let mut fields = Fields::read(body, &["url", "events", "enabled"])?;
    let events = fields.texts("events", 0..=MAX_EVENTS);
    let message = UpdateEndpointRequest {
        id: String::new(),
        url: fields.text("url"),
        sets_events: events.is_some(),
        events: events.unwrap_or_default(),
        enabled: fields.boolean("enabled"),
    };
    fields.finish()?;
    Ok(message)
}

/// Reads the body of `POST /v1/webhooks/{id}:rotate-secret`. The id is left to the caller.
///
/// # Errors
///
/// As [`parse_new`].
pub(crate) fn parse_rotation(body: &[u8]) -> Result<RotateSecretRequest, Rejected> {
    let mut fields = Fields::read(body, &["drop_former"])?;
    let message = RotateSecretRequest {
        id: String::new(),
        drops_former: fields.boolean("drop_former").unwrap_or(false),
    };
    fields.finish()?;
    Ok(message)
}

/// Reads the body of `PATCH /v1/admin/tenants/{id}`: the fields that change. The tenant is left to the caller.
///
/// # Errors
///
/// As [`parse_new`].
pub(crate) fn parse_tenant(body: &[u8]) -> Result<SetTenantRequest, Rejected> {
    let mut fields = Fields::read(body, &["weight", "max_running", "max_queued"])?;
    let message = SetTenantRequest {
        tenant: String::new(),
        weight: fields.whole_u32("weight"),
        max_running: fields.whole_u32("max_running"),
        max_queued: fields.whole_u32("max_queued"),
    };
    fields.finish()?;
    Ok(message)
}
