//! What operators do with accounts: calls by path, answers as they are.

use reqwest::{Method, Response, Url};
use serde_json::Value;

use super::{Api, ApiError};

impl Api {
    /// Calls a path under the interface's root, with a query and a body.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, ApiError> {
        let url = self.url(path, query)?;
        let mut request = self.client.request(method, url).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.json(request).await
    }

    /// Lists at most `limit` items of a path, page by page.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn listed(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        items: &str,
        limit: usize,
    ) -> Result<Vec<Value>, ApiError> {
        let mut listed = Vec::new();
        let mut token = String::new();
        while listed.len() < limit {
            let size = (limit - listed.len()).min(200).to_string();
            let mut query = query.to_vec();
            query.extend([("page_size", size.as_str()), ("page_token", token.as_str())]);
            query.retain(|(_, value)| !value.is_empty());
            let page = self.call(Method::GET, path, &query, None).await?;
            let more = page[items].as_array().cloned();
            listed.extend(more.unwrap_or_default());
            token = page["next_page_token"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if token.is_empty() {
                break;
            }
        }
        Ok(listed)
    }

    /// Hands over each line of an answer of JSON lines as it comes.
    ///
    /// # Errors
    ///
    /// [`ApiError`]; also what `take` answers.
    pub async fn lines(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        take: impl FnMut(Value) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let url = self.url(path, query)?;
        let request = self.client.get(url).bearer_auth(&self.key);
        let answer = self.send(request).await?;
        self.take_lines(answer, take).await
    }

    /// Reads an answer of JSON lines to its end.
    pub(super) async fn take_lines(
        &self,
        mut answer: Response,
        mut take: impl FnMut(Value) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let mut pending = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.unreachable(&e))? {
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                take(read_line(&line)?)?;
            }
        }
        if pending.is_empty() {
            return Ok(());
        }
        take(read_line(&pending)?)
    }

    pub(super) fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, ApiError> {
        let local = |error: String| ApiError::Local(error);
        let mut url = Url::parse(&self.base).map_err(|error| local(error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| local("the address cannot be extended".to_owned()))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

/// An answer that broke off says so in its last line, in the field `error`.
fn read_line(line: &[u8]) -> Result<Value, ApiError> {
    let value: Value =
        serde_json::from_slice(line).map_err(|error| ApiError::Protocol(error.to_string()))?;
    match value["error"]["detail"].as_str() {
        None => Ok(value),
        Some(detail) => Err(ApiError::Protocol(format!("it broke off: {detail}"))),
    }
}
