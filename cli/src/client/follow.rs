//! Following a job to its end, over as many connections as that takes.

use std::time::Duration;

use kinora_edge::view::VideoEvent;
use reqwest::{Method, Response};
use tokio::time::Instant;

use super::sse::Parser;
use super::{Api, ApiError};

/// The server pings every 15 s; a stream that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(40);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a mesh may be away before a follower gives up.
const PATIENCE: Duration = Duration::from_secs(60);

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
        mut on_event: impl FnMut(&VideoEvent),
    ) -> Result<VideoEvent, ApiError> {
        let mut after_seq = 0;
        let mut pause = FIRST_PAUSE;
        let mut last_seen = Instant::now();
        loop {
            let begun_at = after_seq;
            let mut heard = |event: &VideoEvent| {
                after_seq = event.seq;
                on_event(event);
            };
            let error = match self.follow_once(id, begun_at, &mut heard).await {
                Ok(event) => return Ok(event),
                Err(error) => error,
            };
            if after_seq > begun_at {
                (pause, last_seen) = (FIRST_PAUSE, Instant::now());
            }
            if !is_temporary(&error) || last_seen.elapsed() > PATIENCE {
                return Err(error);
            }
            tracing::debug!(%error, "the event stream ended; it is opened again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection. Ends with the job's last event, or with what cut it short.
    async fn follow_once(
        &self,
        id: &str,
        after_seq: u64,
        on_event: &mut impl FnMut(&VideoEvent),
    ) -> Result<VideoEvent, ApiError> {
        let mut request = self.request(Method::GET, &format!("/v1/videos/{id}/events"));
        if after_seq > 0 {
            request = request.header("Last-Event-ID", after_seq.to_string());
        }
        let mut response = self.send(request).await?;
        let mut parser = Parser::default();
        while let Some(bytes) = self.next_piece(&mut response).await? {
            for event in parser.push(&bytes) {
                let event: VideoEvent = serde_json::from_str(&event.data)
                    .map_err(|error| ApiError::Protocol(error.to_string()))?;
                on_event(&event);
                if event.state.is_terminal() {
                    return Ok(event);
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
        }
    }
}

fn is_temporary(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable { .. } => true,
        ApiError::Refused(problem) => problem.status >= 500 || problem.status == 429,
        ApiError::Protocol(_) | ApiError::Local(_) => false,
    }
}
