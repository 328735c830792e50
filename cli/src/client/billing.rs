//! Credits, vouchers and payments: answers that are streams, or that take a while.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::follow::Patience;
use super::{Api, ApiError};

/// How often it is asked whether somebody has paid.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

impl Api {
    /// Posts a body, and hands over each line of the answer of JSON lines as it comes.
    ///
    /// # Errors
    ///
    /// [`ApiError`]; also what `take` answers.
    pub async fn post_for_lines(
        &self,
        path: &[&str],
        body: &Value,
        take: impl FnMut(Value) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let url = self.url(path, &[])?;
        let request = self.client.request(Method::POST, url);
        let request = request.bearer_auth(&self.key).json(body);
        let answer = self.send(request).await?;
        self.take_lines(answer, take).await
    }

    /// Waits until it is decided what becomes of a checkout, and gives it then: it is paid, closed, or its bank takes days.
    ///
    /// # Errors
    ///
    /// [`ApiError`] when the mesh refuses, or stays away for a minute.
    pub async fn wait_for_checkout(&self, id: &str) -> Result<Value, ApiError> {
        let mut patience = Patience::new();
        loop {
            let path = ["v1", "checkouts", id];
            match self.call(Method::GET, &path, &[], None).await {
                Ok(mut answer) if answer["checkout"]["state"] != "CHECKOUT_STATE_OPEN" => {
                    return Ok(answer["checkout"].take());
                }
                Ok(_) => {
                    patience = Patience::new();
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
                Err(error) => patience.next(error, false).await?,
            }
        }
    }

    /// Hands over a file as it comes.
    ///
    /// # Errors
    ///
    /// [`ApiError`], also when it broke off; also what `take` answers.
    pub async fn file(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        mut take: impl FnMut(&[u8]) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let url = self.url(path, query)?;
        let request = self.client.get(url).bearer_auth(&self.key);
        let mut answer = self.send(request).await?;
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.unreachable(&e))? {
            take(&chunk)?;
        }
        Ok(())
    }
}
