use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::{TestApp, field_of, frames, member, refusal_of, user};
use crate::domain::ledger::TransferKind;
use crate::domain::refusal::Refusal;

on_both_databases! {
    async fn transactions_are_those_of_the_payer_newest_first(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, anna) = (user("ada"), member("acme", "ada", true));
        test.give(&ada.payer, 5000, None).await;
        test.give(&anna.payer, 5000, None).await;
        let job = test.captured(&ada, frames(16), None).await;
        test.hold(&anna, frames(16)).await.unwrap();
        let (all, token) = test.app.transactions(&ada.payer, None, 0, "").await.unwrap();
        let shown: Vec<_> = all.iter().map(|it| (it.kind, it.available, it.held, it.job, it.user)).collect();
        let expected = [
            (TransferKind::Capture, 0, -1000, Some(job), None),
            (TransferKind::Hold, -1000, 1000, Some(job), Some(ada.user)),
            (TransferKind::Grant, 5000, 0, None, None),
        ];
        assert_eq!(shown, expected);
        assert_eq!((token.as_str(), all[2].note.as_str()), ("", "a test"));
        let (of_job, _) = test.app.transactions(&ada.payer, Some(job), 0, "").await.unwrap();
        assert_eq!(of_job, all[..2]);
        // Another payer's job has none here.
        let (none, _) = test.app.transactions(&anna.payer, Some(job), 0, "").await.unwrap();
        assert_eq!(none, []);
        assert_eq!(test.app.transactions(&anna.payer, None, 0, "").await.unwrap().0.len(), 2);
    }

    async fn pages_go_on_where_the_one_before_ended(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, ben) = (user("ada"), user("ben"));
        for credits in 1..=5 {
            test.give(&ada.payer, credits, None).await;
        }
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let (page, next) = test.app.transactions(&ada.payer, None, 2, &token).await.unwrap();
            assert!(page.len() <= 2);
            seen.extend(page.into_iter().map(|it| it.available));
            if next.is_empty() {
                break;
            }
            // What is new does not push others out of their places.
            test.give(&ada.payer, 100, None).await;
            token = next;
        }
        assert_eq!(seen, [5, 4, 3, 2, 1]);
        for (caller, job) in [(&ben, None), (&ada, Some(Uuid::nil()))] {
            let refused = test.app.transactions(&caller.payer, job, 2, &token).await;
            assert_eq!(refusal_of(refused), Refusal::PageTokenInvalid);
        }
        assert_eq!(field_of(test.app.transactions(&ada.payer, None, -1, "").await), "page_size");
    }
}
