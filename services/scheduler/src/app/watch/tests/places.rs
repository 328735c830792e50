//! Where queued jobs stand.

use futures::{FutureExt, poll};

use super::*;

#[tokio::test]
async fn queued_job_s_place_and_wait_are_told_as_they_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let poll = Duration::from_millis(10);
    let app = Arc::new(app_with(folder.path(), |options| options.poll_interval = poll).await);
    let session = Uuid::now_v7();
    app.attach(greeting(), session).await.expect("attaches");
    submitted(&app).await;
    submitted(&app).await;
    let last = submitted(&app).await;
    let mut seen = watch(&app, last, 0);
    let mut numbers = Vec::new();
    let mut newest = u64::MAX;
    for ahead in [2, 1, 0] {
        loop {
            let sighting = next(&mut seen).await;
            numbers.push(sighting.event.seq);
            let place = sighting.place.expect("it is queued");
            assert!(place.wait.is_some(), "there is a worker: {place:?}");
            assert!(place.ahead <= newest, "nobody pushes in");
            newest = place.ahead;
            if place.ahead == ahead {
                break;
            }
        }
        let lease = claimed(&app, session).await;
        complete(&app, lease).await;
    }
    let events = rest(seen).await;
    let end = events.last().map(|event| event.state);
    assert_eq!(end, Some(State::Completed));
    numbers.extend(events.iter().map(|event| event.seq));
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[tokio::test]
async fn one_look_answers_for_all_who_watch() {
    let folder = tempfile::tempdir().expect("a folder");
    // A look is too old at once, unless it has taken long.
    let app = app_with(folder.path(), |options| {
        options.poll_interval = Duration::ZERO
    })
    .await;
    app.attach(greeting(), Uuid::now_v7())
        .await
        .expect("attaches");
    let ids = [submitted(&app).await, submitted(&app).await];
    let job = app.get("anna", ids[1]).await.expect("reads").job;
    let place = app.queue_place(&job).await.expect("looks");
    assert_eq!(place.map(|place| place.ahead), Some(1));
    app.places
        .pretend_look_took("tiny", Duration::from_secs(3600));
    for _ in 0..1000 {
        // Whoever reads the database has to wait for it.
        let again = app.queue_place(&job).now_or_never();
        assert_eq!(again.expect("at once").expect("known"), place);
    }
    app.places.pretend_look_took("tiny", Duration::ZERO);
    let mut first = Box::pin(app.queue_place(&job));
    assert!(poll!(&mut first).is_pending(), "too old: it looks again");
    for _ in 0..1000 {
        let again = app.queue_place(&job).now_or_never();
        assert_eq!(again.expect("at once").expect("known"), place);
    }
    assert_eq!(first.await.expect("looks"), place);
}

#[tokio::test]
async fn nobody_can_tell_the_wait_while_there_is_no_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    let session = Uuid::now_v7();
    app.attach(greeting(), session).await.expect("attaches");
    app.heartbeat("w", session, true, None, &[])
        .await
        .expect("drains");
    let id = submitted(&app).await;
    let place = app.get("anna", id).await.expect("reads").place;
    assert_eq!(
        place.map(|place| (place.ahead, place.wait)),
        Some((0, None))
    );
}
