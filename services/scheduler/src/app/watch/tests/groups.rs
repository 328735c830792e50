//! Groups followed through one subscription.

use super::*;
use crate::domain::sequence::BatchOrder;

async fn batch(app: &App, jobs: usize) -> (Uuid, Vec<JobId>) {
    let submission = Submission {
        prompt: "a ball".to_owned(),
        allow_duplicate: true,
        ..Submission::default()
    };
    let order = BatchOrder {
        submissions: vec![submission; jobs],
        ..BatchOrder::default()
    };
    let view = app
        .submit_batch("anna", &Token::default(), &order)
        .await
        .expect("submits");
    let ids = view.views.iter().map(|view| view.job.id).collect();
    (view.group.id, ids)
}

#[tokio::test]
async fn group_is_followed_until_its_last_job_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Arc::new(app(folder.path()).await);
    let session = Uuid::now_v7();
    app.attach(greeting(), session).await.expect("attaches");
    let (group, ids) = batch(&app, 2).await;
    let (out, mut seen) = mpsc::channel(64);
    let following = Arc::clone(&app);
    tokio::spawn(async move {
        let watching = Watching::group(&following, "anna", group);
        watching.run(&out).await.expect("follows");
    });
    let present = [next(&mut seen).await, next(&mut seen).await];
    assert_eq!(present.each_ref().map(|seen| seen.event.job), ids[..]);
    let places = present.map(|seen| seen.place.map(|place| place.ahead));
    assert_eq!(places, [Some(0), Some(1)]);
    for _ in &ids {
        let lease = claimed(&app, session).await;
        complete(&app, lease).await;
    }
    let events = rest(seen).await;
    for id in ids {
        let of_job: Vec<&Event> = events.iter().filter(|event| event.job == id).collect();
        assert!(
            of_job.windows(2).all(|pair| pair[0].seq < pair[1].seq),
            "{of_job:?}"
        );
        assert_eq!(
            of_job.last().map(|event| event.state),
            Some(State::Completed)
        );
    }
}

#[tokio::test]
async fn group_s_watcher_that_does_not_read_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let patience = Duration::from_millis(20);
    let app = app_with(folder.path(), |options| options.watcher_patience = patience).await;
    app.attach(greeting(), Uuid::now_v7())
        .await
        .expect("attaches");
    let (group, _) = batch(&app, 3).await;
    let (out, seen) = mpsc::channel(1);
    let watching = Watching::group(&app, "anna", group);
    let cut = watching.run(&out).await.expect_err("it reads nothing");
    assert!(matches!(cut, Error::WatcherTooSlow { .. }), "{cut:?}");
    assert_eq!(seen.len(), 1, "what it was sent is still there");
}

#[tokio::test]
async fn foreign_group_is_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    app.attach(greeting(), Uuid::now_v7())
        .await
        .expect("attaches");
    let (group, _) = batch(&app, 1).await;
    let (out, _seen) = mpsc::channel(8);
    for (owner, id) in [("ben", group), ("anna", Uuid::now_v7())] {
        let watching = Watching::group(&app, owner, id);
        let refused = watching.run(&out).await;
        assert!(matches!(refused, Err(Error::GroupNotFound)), "{refused:?}");
    }
}
