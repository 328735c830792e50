//! Webhooks.

use reqwest::Method;
use serde::Serialize;
use serde_json::json;

use super::view::{Delivery, DeliveryList, Webhook, WebhookList};
use super::{Api, ApiError, CALL_TIMEOUT, segment};

/// What changes of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "named as the fields of the REST interface")]
pub struct WebhookChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

impl Api {
    /// Makes a webhook; gives it with its secret.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn add_webhook(
        &self,
        url: &str,
        events: &[String],
        video_id: Option<&str>,
    ) -> Result<Webhook, ApiError> {
        let body = json!({ "url": url, "events": events, "video_id": video_id });
        self.json(self.request(Method::POST, "/v1/webhooks").json(&body))
            .await
    }

    /// Lists webhooks, oldest first.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, ApiError> {
        let list: WebhookList = self.json(self.request(Method::GET, "/v1/webhooks")).await?;
        Ok(list.webhooks)
    }

    /// Changes a webhook.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn update_webhook(
        &self,
        id: &str,
        change: &WebhookChange,
    ) -> Result<Webhook, ApiError> {
        let request = self.request(Method::PATCH, &webhook_path(id));
        self.json(request.json(change)).await
    }

    /// Removes a webhook.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn remove_webhook(&self, id: &str) -> Result<(), ApiError> {
        let request = self.request(Method::DELETE, &webhook_path(id));
        self.send(request.timeout(CALL_TIMEOUT)).await?;
        Ok(())
    }

    /// Makes a new secret; gives it with the webhook.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn rotate_secret(&self, id: &str, drop_former: bool) -> Result<Webhook, ApiError> {
        let path = format!("{}:rotate-secret", webhook_path(id));
        let body = json!({ "drop_former": drop_former });
        self.json(self.request(Method::POST, &path).json(&body))
            .await
    }

    /// Lists at most `limit` deliveries of a webhook, newest first.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn deliveries(&self, id: &str, limit: usize) -> Result<Vec<Delivery>, ApiError> {
        let path = format!("{}/deliveries", webhook_path(id));
        self.pages(&path, &[], limit, |page: DeliveryList| {
            (page.deliveries, page.next_page_token)
        })
        .await
    }

    /// Sends a delivery once more.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn replay(&self, id: &str) -> Result<Delivery, ApiError> {
        let path = format!("/v1/deliveries/{}:replay", segment(id));
        self.json(self.request(Method::POST, &path)).await
    }
}

fn webhook_path(id: &str) -> String {
    format!("/v1/webhooks/{}", segment(id))
}
