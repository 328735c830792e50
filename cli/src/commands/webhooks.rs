//! `kinora webhooks`.

use serde_json::json;

use super::connect::any_mesh;
use crate::arguments::{Folders, UpdateWebhookArguments, WebhooksArguments, WebhooksCommand};
use crate::client::view::{Delivery, Webhook};
use crate::client::{Api, WebhookChange};
use crate::exit::Failure;
use crate::output::{self, show};

/// Runs `kinora webhooks`.
///
/// # Errors
///
/// [`Failure`].
pub async fn run(arguments: WebhooksArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let json = arguments.json;
    let command = arguments.command.unwrap_or(WebhooksCommand::List);
    match command {
        WebhooksCommand::List => list(&api, json).await?,
        WebhooksCommand::Add(add) => {
            let made = api
                .add_webhook(&add.url, &add.events, add.video.as_deref())
                .await?;
            show(json, &made, || secret_of(&made))?;
        }
        WebhooksCommand::Update(update) => {
            let webhook = api
                .update_webhook(&update.id, &change(update.clone())?)
                .await?;
            show(json, &webhook, || table(std::slice::from_ref(&webhook)))?;
        }
        WebhooksCommand::Remove { id } => {
            api.remove_webhook(&id).await?;
            show(json, &json!({ "id": id, "removed": true }), || {
                format!("{id} is removed")
            })?;
        }
        WebhooksCommand::Rotate { id, drop_former } => {
            let rotated = api.rotate_secret(&id, drop_former).await?;
            show(json, &rotated, || secret_of(&rotated))?;
        }
        WebhooksCommand::Deliveries { id, limit } => {
            list_deliveries(&api, &id, limit, json).await?
        }
        WebhooksCommand::Replay { id } => {
            let delivery = api.replay(&id).await?;
            show(json, &delivery, || {
                delivery_table(std::slice::from_ref(&delivery))
            })?;
        }
    }
    Ok(())
}

async fn list(api: &Api, json: bool) -> Result<(), Failure> {
    let webhooks = api.webhooks().await?;
    if webhooks.is_empty() && !json {
        output::remark("no webhooks yet");
        return Ok(());
    }
    Ok(show(json, &webhooks, || table(&webhooks))?)
}

async fn list_deliveries(api: &Api, id: &str, limit: usize, json: bool) -> Result<(), Failure> {
    let deliveries = api.deliveries(id, limit).await?;
    if deliveries.is_empty() && !json {
        output::remark("no deliveries yet");
        return Ok(());
    }
    Ok(show(json, &deliveries, || delivery_table(&deliveries))?)
}

fn change(update: UpdateWebhookArguments) -> Result<WebhookChange, Failure> {
    let change = WebhookChange {
        url: update.url,
        events: Some(update.events).filter(|events| !events.is_empty()),
        enabled: (update.enable || update.disable).then_some(update.enable),
    };
    if change == WebhookChange::default() {
        return Err(Failure::usage(
            "say what changes: --url, --event, --enable or --disable",
        ));
    }
    Ok(change)
}

/// The secret goes where results go, so that it can be taken from there.
fn secret_of(made: &Webhook) -> String {
    format!(
        "{}\n{}\nThe second line is the secret; it is not shown again.",
        made.id,
        made.secret.as_deref().unwrap_or_default()
    )
}

fn table(webhooks: &[Webhook]) -> String {
    let row = |webhook: &Webhook| {
        let state = match (webhook.enabled, &webhook.paused_until) {
            (false, _) => "disabled".to_owned(),
            (true, Some(time)) => format!("paused until {time}"),
            (true, None) => "enabled".to_owned(),
        };
        let events = match webhook.events.as_slice() {
            [] => "all but video.progress".to_owned(),
            events => events.join(","),
        };
        [webhook.id.clone(), state, events, webhook.url.clone()]
    };
    let rows: Vec<_> = webhooks.iter().map(row).collect();
    output::table(["ID", "STATE", "EVENTS", "URL"], &rows)
}

fn delivery_table(deliveries: &[Delivery]) -> String {
    let row = |delivery: &Delivery| {
        let remark = match (delivery.last_error.as_str(), delivery.last_status) {
            ("", 0) => String::new(),
            ("", status) => status.to_string(),
            (error, _) => error.to_owned(),
        };
        [
            delivery.id.clone(),
            delivery.state.name().to_owned(),
            delivery.event.clone(),
            delivery.video_id.clone(),
            delivery.attempts.to_string(),
            remark,
        ]
    };
    let rows: Vec<_> = deliveries.iter().map(row).collect();
    output::table(["ID", "STATE", "EVENT", "JOB", "TRIES", "LAST"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_something() {
        let update = UpdateWebhookArguments {
            id: "x".to_owned(),
            url: None,
            events: Vec::new(),
            enable: false,
            disable: false,
        };
        assert!(change(update.clone()).is_err());
        let enabled = |enable, disable| {
            let update = UpdateWebhookArguments {
                enable,
                disable,
                ..update.clone()
            };
            change(update).unwrap().enabled
        };
        assert_eq!(
            (enabled(true, false), enabled(false, true)),
            (Some(true), Some(false))
        );
    }
}
