use std::io::Read;

use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt};
use kinora_store::on_both_databases;
use serde_json::Value;
use zip::ZipArchive;

use super::*;
use crate::app::testing::TestApp;
use crate::app::testing::people::somewhere;
use crate::domain::refusal::Refusal;

fn file(archive: &[u8], name: &str) -> Value {
    let mut zip = ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    let mut text = String::new();
    zip.by_name(name)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

on_both_databases! {
    async fn an_archive_holds_what_is_kept_and_no_more(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.person("ben").await);
        let tx = test.app.store.begin().await.unwrap();
        for number in 0..1000 {
            let line = Line::own(anna.id, "tick", &somewhere()).with_detail(number.to_string());
            audit::append(&tx, line, test.app.now()).await.unwrap();
        }
        let line = Line::own(ben.id, "private", &somewhere());
        audit::append(&tx, line, test.app.now()).await.unwrap();
        tx.commit().await.unwrap();
        let chunks = test.app.export_data(&anna).await.unwrap();
        let chunks: Vec<Vec<u8>> = chunks.try_collect().await.unwrap();
        assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES));
        let archive = chunks.concat();
        let profile = file(&archive, "profile.json");
        assert_eq!(profile[0]["email"], "anna@example.org");
        assert_eq!(profile[0]["age"]["assurance"], "unverified");
        let activity = file(&archive, "activity.json");
        let activity = activity.as_array().unwrap();
        assert_eq!(activity.len(), 1001);
        assert_eq!(activity[7]["detail"], "7");
        assert_eq!(activity[1000]["action"], "data.export");
        for empty in ["sessions.json", "keys.json", "organisations.json", "terms.json"] {
            assert_eq!(file(&archive, empty), Value::Array(Vec::new()), "{empty}");
        }
    }

    async fn an_archive_needs_a_fresh_credential_and_a_reader(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let anna = test.person("anna").await;
        let mut chunks = Box::pin(test.app.export_data(&anna).await.unwrap());
        assert!(chunks.next().await.unwrap().is_ok());
        drop(chunks);
        test.clock.advance(TimeDelta::hours(1));
        let stale = test.app.export_data(&anna).await;
        assert!(matches!(stale.err(), Some(Error::Refused(Refusal::StepUpRequired))));
    }
}
