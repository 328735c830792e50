use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use kinora_store::Database;
use kinora_testkit::wait::until;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::*;
use crate::clock::SystemClock;
use crate::webhooks::model::MAX_ENDPOINTS;

/// A name server that answers as often as it is let.
struct Slow {
    asked: AtomicUsize,
    answers: Semaphore,
}

impl LookUp for Slow {
    fn look_up<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.answers.acquire().await.expect("open").forget();
            Ok(vec![IpAddr::from([8, 8, 8, 8])])
        })
    }
}

struct Uncounted;

impl WebhookMetrics for Uncounted {
    fn tried(&self, _: EventKind, _: &'static str, _: Duration, _: Duration) {}

    fn circuit_opened(&self) {}

    fn relayed(&self, _: usize) {}

    fn given_up(&self, _: u64) {}
}

async fn start() -> (Arc<Webhooks>, Arc<Slow>, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let url = url.parse().expect("a URL");
    let db = Database::connect(&url).await.expect("opens");
    kinora_migrations::scheduler::migrate(db.writer())
        .await
        .expect("migrates");
    let names = Arc::new(Slow {
        asked: AtomicUsize::new(0),
        answers: Semaphore::new(0),
    });
    let webhooks = Webhooks::new(
        WebhookStore::new(db.clone()),
        JobStore::new(db),
        WebhookOptions::new(),
        Arc::clone(&names) as Arc<dyn LookUp>,
        Arc::new(SystemClock),
        Arc::new(Uncounted),
    );
    (Arc::new(webhooks.expect("starts")), names, folder)
}

async fn create(webhooks: &Webhooks, owner: &str, url: &str) -> Result<Endpoint, Error> {
    let request = EndpointRequest {
        url: url.to_owned(),
        events: Vec::new(),
        job: None,
    };
    webhooks.create(owner, request).await
}

async fn asked(names: &Slow, times: usize) {
    until("look-ups", Duration::from_secs(20), async || {
        match names.asked.load(Ordering::SeqCst) {
            asked if asked == times => Ok(()),
            asked => Err(asked),
        }
    })
    .await;
}

const fn is_busy(answer: &Result<Endpoint, Error>) -> bool {
    matches!(answer, Err(Error::Webhook(WebhookError::LookUpsBusy)))
}

#[tokio::test]
async fn look_ups_that_do_not_end_keep_their_owners_slots() {
    const URL: &str = "https://hooks.example.com/";
    let (webhooks, names, _folder) = start().await;
    let spawn = |owner: &'static str| {
        let webhooks = Arc::clone(&webhooks);
        tokio::spawn(async move { create(&webhooks, owner, URL).await })
    };
    let callers = [spawn("anna"), spawn("anna")];
    asked(&names, 2).await;
    assert!(is_busy(&create(&webhooks, "anna", URL).await));
    let other = spawn("ben");
    asked(&names, 3).await;
    // That nobody waits for an answer any more frees no thread.
    for caller in callers {
        caller.abort();
        let _ = caller.await;
    }
    assert!(is_busy(&create(&webhooks, "anna", URL).await));
    assert_eq!(names.asked.load(Ordering::SeqCst), 3);
    names.answers.add_permits(100);
    other.await.expect("a caller").expect("made");
    until("a free slot", Duration::from_secs(20), async || {
        let answer = create(&webhooks, "anna", URL).await;
        if is_busy(&answer) {
            return Err("busy");
        }
        Ok(answer.expect("made"))
    })
    .await;
}

#[tokio::test]
async fn no_name_is_looked_up_for_an_owner_without_room() {
    let (webhooks, names, _folder) = start().await;
    for _ in 0..MAX_ENDPOINTS {
        let made = create(&webhooks, "anna", "https://8.8.8.8/").await;
        made.expect("made");
    }
    let full = create(&webhooks, "anna", "https://hooks.example.com/").await;
    let is_full = matches!(full, Err(Error::Webhook(WebhookError::TooManyEndpoints)));
    assert!(is_full, "{full:?}");
    assert_eq!(names.asked.load(Ordering::SeqCst), 0);
}
