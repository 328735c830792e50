//! Credits and vouchers: answers that are streams.

use reqwest::Method;
use serde_json::Value;

use super::{Api, ApiError};

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
