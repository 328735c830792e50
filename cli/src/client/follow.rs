//! Following a job, or all jobs of a group, over as many connections as that takes.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use tokio::time::Instant;

use super::groups::GroupKind;
use super::sse::{Parser, ServerEvent};
use super::view::VideoEvent;
use super::{Api, ApiError, segment};

/// The server pings every 15 s; a stream that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(40);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a mesh may be away before a follower gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The name of the event after which a group's stream ends.
const END: &str = "end";

impl Api {
    /// Follows a job until it ends, and gives its last event. `on_event` sees every event once.
    ///
    /// Lost connections are opened again, after the last event that came.
    ///
    /// # Errors
    ///
    /// [`ApiError`] when the mesh refuses, or stays away for a minute.
    pub async fn follow(
        &self,
        id: &str,
        on_event: impl FnMut(&VideoEvent),
    ) -> Result<VideoEvent, ApiError> {
        let is_last = |event: &VideoEvent| event.status.is_terminal();
        self.follow_until(id, 0, is_last, on_event).await
    }

    /// As [`Api::follow`], from after an event on, and until one that `is_last`.
    ///
    /// # Errors
    ///
    /// As [`Api::follow`].
    pub async fn follow_until(
        &self,
        id: &str,
        mut after_seq: u32,
        is_last: impl Fn(&VideoEvent) -> bool,
        mut on_event: impl FnMut(&VideoEvent),
    ) -> Result<VideoEvent, ApiError> {
        let mut patience = Patience::new();
        loop {
            let begun_at = after_seq;
            let mut request =
                self.request(Method::GET, &format!("/v1/videos/{}/events", segment(id)));
            if after_seq > 0 {
                request = request.header("Last-Event-ID", after_seq.to_string());
            }
            let heard = |event: &ServerEvent| {
                let event = parse(event)?;
                after_seq = event.seq;
                on_event(&event);
                Ok(is_last(&event).then_some(event))
            };
            let error = match self.follow_once(request, heard).await {
                Ok(event) => return Ok(event),
                Err(error) => error,
            };
            patience.next(error, after_seq > begun_at).await?;
        }
    }

    /// Follows all jobs of a group until the last has ended. After a lost connection `on_event` sees the present state
    /// of each job again.
    ///
    /// # Errors
    ///
    /// As [`Api::follow`].
    pub async fn follow_group(
        &self,
        kind: GroupKind,
        id: &str,
        mut on_event: impl FnMut(&VideoEvent),
    ) -> Result<(), ApiError> {
        let mut patience = Patience::new();
        let path = format!("{}/{}/events", kind.path(), segment(id));
        loop {
            let mut has_heard = false;
            let heard = |event: &ServerEvent| {
                has_heard = true;
                if event.name == END {
                    return Ok(Some(()));
                }
                on_event(&parse(event)?);
                Ok(None)
            };
            match self
                .follow_once(self.request(Method::GET, &path), heard)
                .await
            {
                Ok(()) => return Ok(()),
                Err(error) => patience.next(error, has_heard).await?,
            }
        }
    }

    /// One connection. Ends with what `on_event` finds, or with what cut it short.
    async fn follow_once<T>(
        &self,
        request: RequestBuilder,
        mut on_event: impl FnMut(&ServerEvent) -> Result<Option<T>, ApiError>,
    ) -> Result<T, ApiError> {
        let answer = tokio::time::timeout(SILENCE, self.send(request)).await;
        let mut response = answer.map_err(|_| self.cut_short("nothing was answered"))??;
        let mut parser = Parser::default();
        while let Some(bytes) = self.next_piece(&mut response).await? {
            for event in parser.push(&bytes) {
                if let Some(found) = on_event(&event)? {
                    return Ok(found);
                }
            }
        }
        Err(self.cut_short("the stream ended before the job did"))
    }

    async fn next_piece(&self, response: &mut Response) -> Result<Option<Vec<u8>>, ApiError> {
        match tokio::time::timeout(SILENCE, response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece.map(Into::into)),
            Ok(Err(error)) => Err(self.unreachable(&error)),
            Err(_) => Err(self.cut_short("the stream fell silent")),
        }
    }

    fn cut_short(&self, cause: &str) -> ApiError {
        ApiError::Unreachable {
            base: self.base.clone(),
            cause: cause.to_owned(),
            is_sent: true,
        }
    }
}

/// How long to wait before another connection, and whether to try at all.
pub(super) struct Patience {
    pause: Duration,
    last_seen: Instant,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self {
            pause: FIRST_PAUSE,
            last_seen: Instant::now(),
        }
    }

    /// Waits, unless the error is for good or the mesh was away for too long.
    pub(super) async fn next(&mut self, error: ApiError, has_heard: bool) -> Result<(), ApiError> {
        if has_heard {
            *self = Self::new();
        }
        if !is_temporary(&error) || self.last_seen.elapsed() > PATIENCE {
            return Err(error);
        }
        tracing::debug!(%error, "the event stream ended; it is opened again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

fn parse(event: &ServerEvent) -> Result<VideoEvent, ApiError> {
    serde_json::from_str(&event.data).map_err(|error| ApiError::Protocol(error.to_string()))
}

fn is_temporary(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable { .. } => true,
        ApiError::Refused(problem) => problem.status >= 500 || problem.status == 429,
        ApiError::Protocol(_) | ApiError::Local(_) => false,
    }
}
