use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::TestApp;

on_both_databases! {
    async fn what_was_read_before_a_change_is_not_written_after_it(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let reader = test.app.store.reader();
        for read in [0, 1] {
            assert_eq!(revision(reader, "pi_1").await.unwrap(), read);
            let tx = test.app.store.begin().await.unwrap();
            assert!(advance(&tx, "pi_1", read).await.unwrap());
            tx.commit().await.unwrap();
            let tx = test.app.store.begin().await.unwrap();
            assert!(!advance(&tx, "pi_1", read).await.unwrap());
        }
        assert_eq!(revision(reader, "pi_1").await.unwrap(), 2);
        assert_eq!(revision(reader, "pi_2").await.unwrap(), 0);
    }

    async fn of_many_writers_at_once_one_is_first(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for read in [0, 1] {
            let mut writers = tokio::task::JoinSet::new();
            for _ in 0..10 {
                let app = test.app.clone();
                writers.spawn(async move {
                    let tx = app.store.begin().await.unwrap();
                    let is_first = advance(&tx, "pi_1", read).await.unwrap();
                    tx.commit().await.unwrap();
                    is_first
                });
            }
            let first = writers.join_all().await.into_iter().filter(|it| *it);
            assert_eq!(first.count(), 1);
        }
    }
}
