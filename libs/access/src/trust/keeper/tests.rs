use tokio::time::sleep;

use super::*;
use crate::testing::TestIssuer;

/// Time stands still but for sleeps, so that minutes pass at once.
fn start(issuer: &TestIssuer) -> Arc<TrustKeeper> {
    TrustKeeper::start(Arc::new(issuer.clone()), CancellationToken::new())
}

#[tokio::test(start_paused = true)]
async fn bundle_is_fetched_every_few_seconds() {
    let issuer = TestIssuer::new();
    let keeper = start(&issuer);
    assert_eq!(keeper.bundle().await.expect("a bundle").terms_version(), 1);
    issuer.require_terms(2);
    sleep(POLL_INTERVAL).await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(keeper.bundle().await.expect("a bundle").terms_version(), 2);
    assert_eq!(issuer.questions(), 2);
}

#[tokio::test(start_paused = true)]
async fn unknown_key_is_asked_for_at_once_but_once_a_second() {
    let issuer = TestIssuer::new();
    let keeper = start(&issuer);
    keeper.bundle().await.expect("a bundle");
    sleep(MIN_INTERVAL).await;
    issuer.rotate();
    let (id, _) = issuer.current_key();
    let asked = Instant::now();
    let bundle = keeper.bundle_with_key(&id).await.expect("a bundle");
    assert!(bundle.key(&id).is_some());
    assert!(asked.elapsed() < Duration::from_millis(100));
    let before = issuer.questions();
    let strangers = (0..1000).map(|number| {
        let keeper = Arc::clone(&keeper);
        async move {
            let id = format!("stranger-{number}");
            keeper
                .bundle_with_key(&id)
                .await
                .expect("a bundle")
                .key(&id)
                .is_none()
        }
    });
    let unknown = futures::future::join_all(strangers).await;
    assert!(unknown.into_iter().all(|is_unknown| is_unknown));
    assert_eq!(issuer.questions(), before + 1);
    assert!(asked.elapsed() >= MIN_INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn last_bundle_serves_for_ten_minutes_of_silence() {
    let issuer = TestIssuer::new();
    let keeper = start(&issuer);
    keeper.bundle().await.expect("a bundle");
    issuer.be_away(true);
    sleep(MAX_AGE - POLL_INTERVAL).await;
    assert!(keeper.bundle().await.is_ok());
    sleep(2 * POLL_INTERVAL).await;
    assert_eq!(keeper.bundle().await.err(), Some(Refusal::TrustUnavailable));
    issuer.be_away(false);
    sleep(2 * POLL_INTERVAL).await;
    assert!(keeper.bundle().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn bundle_that_did_not_change_stays_fresh() {
    let issuer = TestIssuer::new();
    let keeper = start(&issuer);
    keeper.bundle().await.expect("a bundle");
    sleep(2 * MAX_AGE).await;
    assert!(keeper.bundle().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn first_bundle_is_waited_for() {
    let issuer = TestIssuer::new();
    issuer.be_away(true);
    let keeper = start(&issuer);
    assert_eq!(keeper.bundle().await.err(), Some(Refusal::TrustUnavailable));
    issuer.be_away(false);
    assert!(keeper.bundle().await.is_ok(), "asks at once");
}

/// Answers with what cannot be read, after one good bundle.
struct Broken(TestIssuer);

#[tonic::async_trait]
impl TrustSource for Broken {
    async fn get_trust(
        &self,
        request: pb::GetTrustRequest,
    ) -> Result<pb::GetTrustResponse, tonic::Status> {
        let is_first = request.known_revision.is_empty();
        let mut answer = TrustSource::get_trust(&self.0, request).await?;
        if !is_first {
            let key = pb::VerifyingKey {
                id: "broken".to_owned(),
                public_key: vec![1],
            };
            let trust = pb::Trust {
                keys: vec![key],
                ..pb::Trust::default()
            };
            answer = pb::GetTrustResponse {
                revision: "2".to_owned(),
                trust: Some(trust),
            };
        }
        Ok(answer)
    }
}

#[tokio::test(start_paused = true)]
async fn bundle_that_cannot_be_read_replaces_nothing() {
    let source = Arc::new(Broken(TestIssuer::new()));
    let keeper = TrustKeeper::start(source.clone(), CancellationToken::new());
    keeper.bundle().await.expect("a bundle");
    sleep(10 * POLL_INTERVAL).await;
    let (id, _) = source.0.current_key();
    assert!(keeper.bundle().await.expect("a bundle").key(&id).is_some());
    sleep(MAX_AGE).await;
    assert_eq!(keeper.bundle().await.err(), Some(Refusal::TrustUnavailable));
}
