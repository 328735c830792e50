use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn service_is_ready_from_its_start_to_its_drain_and_stops_after_the_delay() {
    let shutdown = CancellationToken::new();
    let drain = DrainOptions {
        drain_delay: Duration::from_secs(5),
    };
    let lifecycle = Lifecycle::begin(ProbeOptions::default(), drain, &shutdown)
        .await
        .unwrap();
    assert!(!lifecycle.is_ready(), "it has not begun");
    lifecycle.serve();
    assert!(lifecycle.is_ready());
    let asked = Instant::now();
    shutdown.cancel();
    assert!(lifecycle.draining().is_cancelled() && !lifecycle.is_ready());
    assert!(!lifecycle.stopping().is_cancelled());
    lifecycle.stopping().cancelled().await;
    assert!(asked.elapsed() >= drain.drain_delay);
    lifecycle.serve();
    assert!(!lifecycle.is_ready(), "there is no way back");
}

#[tokio::test]
async fn without_a_delay_both_are_one_moment() {
    let shutdown = CancellationToken::new();
    let lifecycle = Lifecycle::until(&shutdown);
    shutdown.cancel();
    assert!(lifecycle.draining().is_cancelled() && lifecycle.stopping().is_cancelled());
}

#[test]
fn service_that_ends_itself_ends_nothing_beside_it() {
    let shutdown = CancellationToken::new();
    let (one, other) = (Lifecycle::until(&shutdown), Lifecycle::until(&shutdown));
    one.draining().cancel();
    assert!(one.stopping().is_cancelled() && !other.draining().is_cancelled());
    assert!(!shutdown.is_cancelled());
}
