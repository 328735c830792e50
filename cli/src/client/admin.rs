//! What operators do.

use reqwest::{Method, Url};
use serde_json::json;

use super::view::{
    DeadLetter, DeadLetterList, Queue, QueueList, Tenant, Video, Worker, WorkerList,
};
use super::{Api, ApiError, segment};

impl Api {
    /// Lists workers by name.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn workers(&self) -> Result<Vec<Worker>, ApiError> {
        let request = self.request(Method::GET, "/v1/admin/workers");
        let list: WorkerList = self.json(request).await?;
        Ok(list.workers)
    }

    /// Does one of `cordon`, `uncordon` and `drain` to a worker.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn act_on_worker(&self, name: &str, verb: &str) -> Result<Worker, ApiError> {
        let url = self.admin_url(&["workers", &format!("{name}:{verb}")])?;
        self.json(self.client.post(url).bearer_auth(&self.key))
            .await
    }

    /// Tells what waits in each queue.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn queues(&self) -> Result<Vec<Queue>, ApiError> {
        let list: QueueList = self
            .json(self.request(Method::GET, "/v1/admin/queues"))
            .await?;
        Ok(list.queues)
    }

    /// Lists at most `limit` dead letters, newest first.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, ApiError> {
        let path = "/v1/admin/dead-letters";
        self.pages(path, &[], limit, |page: DeadLetterList| {
            (page.dead_letters, page.next_page_token)
        })
        .await
    }

    /// Submits a dead letter's request again, as a new job.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn retry_dead_letter(&self, id: &str) -> Result<Video, ApiError> {
        let path = format!("/v1/admin/dead-letters/{}:retry", segment(id));
        self.json(self.request(Method::POST, &path)).await
    }

    /// Changes what is said of a tenant's weight, running and queued jobs, and tells all of it.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn set_tenant(
        &self,
        tenant: &str,
        [weight, max_running, max_queued]: [Option<u32>; 3],
    ) -> Result<Tenant, ApiError> {
        let url = self.admin_url(&["tenants", tenant])?;
        let body = json!({
            "weight": weight, "max_running": max_running, "max_queued": max_queued,
        });
        self.json(self.client.patch(url).bearer_auth(&self.key).json(&body))
            .await
    }

    /// The names of workers and tenants are free text, which is encoded here.
    fn admin_url(&self, segments: &[&str]) -> Result<Url, ApiError> {
        let local = |error: String| ApiError::Local(error);
        let url = Url::parse(&format!("{}/v1/admin", self.base));
        let mut url = url.map_err(|error| local(error.to_string()))?;
        let mut path = url
            .path_segments_mut()
            .map_err(|()| local("the address cannot be extended".to_owned()))?;
        path.extend(segments);
        drop(path);
        Ok(url)
    }
}
