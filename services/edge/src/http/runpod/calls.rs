//! Calls to the scheduler in a caller's name.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use kinora_proto::scheduler::v1::video::Status;
use kinora_proto::scheduler::v1::{
    CancelVideoRequest, ContentKind, CreateVideoRequest, CreateWebhookRequest, FindContentRequest,
    GetVideoRequest, ListModelsRequest, ListVideosRequest, ListWebhooksRequest, ListWorkersRequest,
    Model, Video, WatchVideoRequest, WatchVideoResponse, Webhook, Worker,
};
use tonic::{Request, Streaming};

use super::endpoint::Endpoint;
use crate::auth::Bearer;
use crate::http::Edge;
use crate::http::services::{self, traced, within};
use crate::problem::Problem;

/// The most that a list asks for at a time.
const PAGE_SIZE: i32 = 100;

/// The most pages that are read of a list.
const MAX_PAGES: usize = 10;

/// The way to the scheduler for one caller, every call within the time that the caller gives.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) edge: &'a Edge,
    pub(super) caller: &'a Bearer,
    pub(super) timeout: Duration,
}

/// Videos of a list that may be longer than what is read of it.
pub(super) struct Listed {
    pub(super) videos: Vec<Video>,
    pub(super) is_whole: bool,
}

impl Line<'_> {
    pub(super) async fn models(self) -> Result<Vec<Model>, Problem> {
        let request = self.request(ListModelsRequest {});
        let mut client = self.edge.services.videos();
        Ok(within(self.timeout, client.list_models(request))
            .await?
            .data)
    }

    /// A job of an endpoint. One of another endpoint is not there.
    pub(super) async fn video_of(self, endpoint: &Endpoint, id: &str) -> Result<Video, Problem> {
        let video = self.video(id).await?;
        if endpoint.covers(&video.model) {
            return Ok(video);
        }
        let detail = "there is no such job at this endpoint";
        Err(Problem::new(StatusCode::NOT_FOUND, "JOB_NOT_FOUND", detail))
    }

    pub(super) async fn video(self, id: &str) -> Result<Video, Problem> {
        let request = self.request(GetVideoRequest { id: id.to_owned() });
        let mut client = self.edge.services.videos();
        let answer = within(self.timeout, client.get_video(request)).await?;
        answer.video.ok_or_else(Problem::internal)
    }

    pub(super) async fn create(self, request: CreateVideoRequest) -> Result<Video, Problem> {
        let request = self.request(request);
        let mut client = self.edge.services.videos();
        let answer = within(self.timeout, client.create_video(request)).await?;
        answer.video.ok_or_else(Problem::internal)
    }

    pub(super) async fn cancel(self, id: String) -> Result<Video, Problem> {
        let request = self.request(CancelVideoRequest { id });
        let mut client = self.edge.services.videos();
        let answer = within(self.timeout, client.cancel_video(request)).await?;
        answer.video.ok_or_else(Problem::internal)
    }

    /// The newest thousand videos of these statuses.
    pub(super) async fn list(self, statuses: &[Status]) -> Result<Listed, Problem> {
        let mut client = self.edge.services.videos();
        let mut videos = Vec::new();
        let mut page_token = String::new();
        for _ in 0..MAX_PAGES {
            let request = self.request(ListVideosRequest {
                page_size: PAGE_SIZE,
                page_token,
                status: statuses.iter().map(|status| (*status).into()).collect(),
                ..Default::default()
            });
            let page = within(self.timeout, client.list_videos(request)).await?;
            videos.extend(page.data);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(Listed {
            videos,
            is_whole: page_token.is_empty(),
        })
    }

    /// A link to something that a video left.
    pub(super) async fn link(self, id: &str, kind: ContentKind) -> Result<String, Problem> {
        let wanted = FindContentRequest {
            id: id.to_owned(),
            kind: kind.into(),
            of_preview: false,
        };
        let services = &self.edge.services;
        let found = services
            .find_content(self.caller, wanted, self.timeout)
            .await?;
        self.edge.link(found, &Method::GET).await
    }

    /// Follows a video's events after one of them. It may take any time.
    pub(super) async fn watch(
        self,
        id: &str,
        after_seq: u32,
    ) -> Result<Streaming<WatchVideoResponse>, tonic::Status> {
        let id = id.to_owned();
        let mut request = traced(WatchVideoRequest { id, after_seq });
        self.caller.attach(request.metadata_mut());
        let mut client = self.edge.services.watches();
        Ok(client.watch_video(request).await?.into_inner())
    }

    pub(super) async fn webhooks(self) -> Result<Vec<Webhook>, Problem> {
        let request = self.request(ListWebhooksRequest {});
        let mut client = self.edge.services.webhooks();
        let answer = within(self.timeout, client.list_webhooks(request)).await?;
        Ok(answer.webhooks)
    }

    pub(super) async fn create_webhook(
        self,
        request: CreateWebhookRequest,
    ) -> Result<Webhook, Problem> {
        let request = self.request(request);
        let mut client = self.edge.services.webhooks();
        let answer = within(self.timeout, client.create_webhook(request)).await?;
        answer.webhook.ok_or_else(Problem::internal)
    }

    pub(super) async fn workers(self) -> Result<Vec<Worker>, Problem> {
        let request = self.request(ListWorkersRequest {});
        let mut client = self.edge.services.administration();
        let answer = within(self.timeout, client.list_workers(request)).await?;
        Ok(answer.workers)
    }

    fn request<T>(self, message: T) -> Request<T> {
        let mut request = services::request(message, self.timeout);
        self.caller.attach(request.metadata_mut());
        request
    }
}
