use kinora_mesh::secret::Secret;
use kinora_store::{DatabaseUrl, on_both_databases};
use sea_orm::{EntityTrait, PaginatorTrait};

use crate::app::testing::TestApp;
use crate::config::AccountsOptions;
use crate::error::Error;
use crate::store::entity::people::user;
use crate::store::entity::programs::api_key;

fn options(url: &DatabaseUrl, email: &str) -> AccountsOptions {
    AccountsOptions {
        first_operator_email: Some(email.to_owned()),
        first_operator_password: Some(Secret::new("gk4-Qz81wY".to_owned())),
        first_operator_api_key: Some(Secret::new(crate::ApiKey::generate().unwrap().reveal())),
        ..TestApp::options(url)
    }
}

on_both_databases! {
    async fn replicas_that_start_at_once_make_one_operator(url: DatabaseUrl) {
        // The schema and the keys that sign are there.
        drop(TestApp::on(&url).await);
        let starts = (0..4).map(|number| {
            let options = options(&url, &format!("root{number}@example.org"));
            let url = url.clone();
            tokio::spawn(async move { TestApp::with(&url, options).await })
        });
        let mut replicas = futures::future::join_all(starts).await;
        let test = replicas.pop().unwrap().unwrap();
        let reader = test.app.store.reader();
        assert_eq!(user::Entity::find().count(reader).await.unwrap(), 1);
        assert_eq!(api_key::Entity::find().count(reader).await.unwrap(), 1);
        assert_eq!(test.audited().await, ["user.create", "key.create"]);
    }

    async fn operator_whose_key_was_lost_gets_the_new_one_and_never_a_revoked_one(url: DatabaseUrl) {
        let first = options(&url, "root@example.org");
        let second = options(&url, "root@example.org");
        drop(TestApp::with(&url, first.clone()).await);
        for _ in 0..2 {
            let test = TestApp::with(&url, second.clone()).await;
            let count = api_key::Entity::find().count(test.app.store.reader()).await.unwrap();
            assert_eq!(count, 2);
        }
        // Revoked, and swept in time.
        let test = TestApp::with(&url, first.clone()).await;
        let tx = test.app.store.begin().await.unwrap();
        api_key::Entity::delete_many().exec(&tx).await.unwrap();
        tx.commit().await.unwrap();
        let test = TestApp::with(&url, first).await;
        let count = api_key::Entity::find().count(test.app.store.reader()).await.unwrap();
        assert_eq!(count, 0);
    }

    async fn address_of_somebody_else_is_nobodys_to_become(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.person("ada").await;
        let refused = TestApp::try_with(&url, options(&url, "ada@example.org")).await;
        assert!(matches!(refused.map(drop), Err(Error::Options(_))));
        assert!(!test.row_of(ada.id).await.is_operator);
    }
}
