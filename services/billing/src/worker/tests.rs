use kinora_store::on_both_databases;
use kinora_testkit::identity::identity;
use kinora_testkit::wait::until;

use super::*;
use crate::app::testing::{TestApp, frames, user};
use crate::domain::hold::HoldState;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn ledger_is_checked_at_night() {
    let wait = |now: &str| {
        let wait = until_next(CHECK_SECOND, now.parse().unwrap()).as_secs();
        (wait - wait % 600) / 60
    };
    assert_eq!(wait("2026-11-22T02:00:00Z"), 60);
    assert_eq!(wait("2026-11-22T03:00:00Z"), 24 * 60);
    assert_eq!(wait("2026-11-22T04:00:00Z"), 23 * 60);
    assert_eq!(wait("2026-11-22T23:00:00Z"), 4 * 60);
    assert_eq!(wait("1969-12-31T23:00:00Z"), 4 * 60);
}

on_both_databases! {
    async fn duties_are_done_though_nobody_calls(url: DatabaseUrl) {
        let test = TestApp::with(&url, |options| options.default_plan = "free".to_owned()).await;
        let ada = user("ada");
        let job = test.hold(&ada, frames(16)).await.unwrap();
        let end = test.app.balance(&ada.payer, ada.user).await.unwrap().window.end;
        test.clock.set(end);
        let stop = CancellationToken::new();
        // Nobody is there: what is not told is no reason to leave the rest.
        let accounts = kinora_mesh::channel::connect_lazy("http://127.0.0.1:1", &identity("billing"), "accounts");
        let notices = Notices::new(accounts.unwrap());
        let duties = tokio::spawn(run(Arc::clone(&test.app), notices, stop.clone()));
        until("the hold to lapse", PATIENCE, || async {
            let state = test.hold_of(job).await.state;
            if state == HoldState::Expired { Ok(()) } else { Err(state) }
        })
        .await;
        until("the allowance to end", PATIENCE, || async {
            let left = test.left_in_grants(&ada.payer).await;
            if left == 0 { Ok(()) } else { Err(left) }
        })
        .await;
        stop.cancel();
        duties.await.unwrap();
        test.check().await;
    }
}
