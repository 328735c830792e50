//! Waiting for a job's end, for a while.

use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use kinora_proto::scheduler::v1::Video;
use tonic::Code;

use super::calls::Line;
use super::job::is_over;
use crate::problem::Problem;

/// How long a caller waits who does not say so.
const DEFAULT_MILLIS: u64 = 90_000;

const MIN_MILLIS: u64 = 1000;

const MAX_MILLIS: u64 = 300_000;

/// Between two streams of events, when the first one broke.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads `?wait=`.
///
/// # Errors
/// 400 when it is no number of milliseconds between a second and five minutes.
pub(super) fn wanted(uri: &Uri) -> Result<Duration, Problem> {
    let detail = "must stand once, as milliseconds from 1000 to 300000";
    let invalid = || Problem::invalid("wait", detail);
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let Query(pairs) = query.map_err(|_| invalid())?;
    let mut waits = pairs.iter().filter(|(name, _)| name == "wait");
    let millis = match (waits.next(), waits.next()) {
        (None, _) => Some(DEFAULT_MILLIS),
        (Some((_, text)), None) => text.parse().ok(),
        _ => None,
    };
    let millis = millis.filter(|millis| (MIN_MILLIS..=MAX_MILLIS).contains(millis));
    let millis = millis.ok_or_else(invalid)?;
    Ok(Duration::from_millis(millis))
}

/// What is known of a video once it is over, or `wait` is, or the edge stops.
///
/// The video was accepted: whatever goes wrong here, its id is answered.
pub(super) async fn until_over(line: Line<'_>, video: Video, wait: Duration) -> Video {
    if is_over(video.status()) {
        return video;
    }
    tokio::select! {
        () = line.edge.stopping.cancelled() => {}
        _ = tokio::time::timeout(wait, follow(line, &video)) => {}
    }
    line.video(&video.id).await.unwrap_or(video)
}

/// Ends with the video, or when it cannot be followed.
async fn follow(line: Line<'_>, video: &Video) {
    let mut seen = video.seq;
    while follow_once(line, &video.id, &mut seen).await == Followed::Broken {
        tokio::time::sleep(PAUSE).await;
    }
}

#[derive(PartialEq, Eq)]
enum Followed {
    ToTheEnd,
    /// It may go on.
    Broken,
}

async fn follow_once(line: Line<'_>, id: &str, seen: &mut u32) -> Followed {
    let of_error = |status: tonic::Status| match status.code() {
        Code::NotFound | Code::Unauthenticated | Code::PermissionDenied => Followed::ToTheEnd,
        _ => Followed::Broken,
    };
    let mut events = match line.watch(id, *seen).await {
        Ok(events) => events,
        Err(status) => return of_error(status),
    };
    loop {
        match events.message().await {
            Ok(Some(response)) => {
                let event = response.event.unwrap_or_default();
                *seen = event.seq.max(*seen);
                if is_over(event.status()) {
                    return Followed::ToTheEnd;
                }
            }
            Ok(None) => return Followed::ToTheEnd,
            Err(status) => return of_error(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Option<u64> {
        let uri: Uri = format!("/v2/ovi/runsync{query}").parse().unwrap();
        let wait = wanted(&uri).ok()?;
        u64::try_from(wait.as_millis()).ok()
    }

    #[test]
    fn callers_wait_as_long_as_they_say_within_bounds() {
        assert_eq!(of(""), Some(90_000));
        assert_eq!(of("?wait=1000"), Some(1000));
        assert_eq!(of("?wait=300000"), Some(300_000));
        for odd in [
            "?wait=999",
            "?wait=300001",
            "?wait=",
            "?wait=-1",
            "?wait=1e4",
            "?wait=2000&wait=3000",
        ] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }
}
