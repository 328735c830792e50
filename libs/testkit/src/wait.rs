//! Waiting for a condition, and saying what was seen when it never came.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Polls `probe` until it answers `Ok`, and returns that; `Err` carries the state seen, for the failure's text.
///
/// The pause between polls grows from 2 to 100 ms. `what` completes the sentence "waited for …".
///
/// # Panics
/// When `timeout` passes first, with the last state seen.
pub async fn until<T, S, F, Fut>(what: &str, timeout: Duration, mut probe: F) -> T
where
    S: Debug,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, S>>,
{
    let deadline = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    let mut last_state = None;
    loop {
        match tokio::time::timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(state)) => last_state = Some(state),
            Err(_) => {
                panic!("waited {timeout:?} for {what}; a probe hung, before it: {last_state:?}")
            }
        }
        assert!(
            Instant::now() + pause < deadline,
            "waited {timeout:?} for {what}; last seen: {last_state:?}"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_the_value_once_the_condition_holds() {
        let mut polls = 0;
        let value = until("three polls", Duration::from_secs(5), || {
            polls += 1;
            let answer = if polls == 3 { Ok("done") } else { Err(polls) };
            async move { answer }
        })
        .await;
        assert_eq!(value, "done");
    }

    #[tokio::test]
    #[should_panic(expected = "waited 50ms for the moon; last seen: Some(\"clouds\")")]
    async fn failure_names_the_wait_and_the_last_state() {
        until("the moon", Duration::from_millis(50), || async {
            Err::<(), _>("clouds")
        })
        .await;
    }

    #[tokio::test]
    #[should_panic(expected = "a probe hung")]
    async fn hanging_probe_does_not_outlive_the_timeout() {
        until("an answer", Duration::from_millis(50), || {
            std::future::pending::<Result<(), ()>>()
        })
        .await;
    }
}
