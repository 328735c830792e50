use kinora_store::on_both_databases;
use kinora_testkit::wait::until;
use sea_orm::ActiveValue::Set;

use super::*;
use crate::app::testing::TestApp;
use crate::app::testing::people::somewhere;
use crate::config::MailOptions;
use crate::store::entity::people::user;
use crate::store::users;

const PATIENCE: Duration = Duration::from_secs(30);

on_both_databases! {
    async fn duties_are_done_though_nobody_calls(url: DatabaseUrl) {
        let folder = tempfile::tempdir().unwrap();
        let carrier = Arc::new(Carrier::new(&MailOptions::to_folder(folder.path())).unwrap());
        let test = TestApp::on(&url).await;
        let (ada, ben) = (test.person("ada").await, test.person("ben").await);
        let leaving = user::ActiveModel {
            state: Set(users::LEAVING),
            erase_time: Set(Some(test.app.now())),
            ..Default::default()
        };
        test.changed(ada.id, leaving).await;
        test.app.erase_user(&ben, &somewhere()).await.unwrap();
        let stop = CancellationToken::new();
        let duties = tokio::spawn(run(Arc::clone(&test.app), carrier, stop.clone()));
        until("the erasure", PATIENCE, || async {
            let state = test.row_of(ada.id).await.state;
            if state == users::ERASED { Ok(()) } else { Err(state) }
        })
        .await;
        until("the mail", PATIENCE, || async {
            let (files, rows) = (std::fs::read_dir(folder.path()).unwrap().count(), test.mails().await.len());
            if (files, rows) == (1, 0) { Ok(()) } else { Err((files, rows)) }
        })
        .await;
        assert_eq!(test.row_of(ben.id).await.state, users::LEAVING);
        stop.cancel();
        duties.await.unwrap();
    }
}
