use kinora_mesh::secret::Secret;
use kinora_store::{DatabaseUrl, on_both_databases};
use sea_orm::{EntityTrait, PaginatorTrait};

use crate::app::Switch;
use crate::app::second_factor::SignedIn;
use crate::app::testing::{TestApp, claims, refusal_of};
use crate::config::AccountsOptions;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::entity::people::user;
use crate::store::entity::programs::api_key;

const FIRST: &str = "gk4-Qz81wY";

fn options(url: &DatabaseUrl, email: &str) -> AccountsOptions {
    AccountsOptions {
        first_operator_email: Some(email.to_owned()),
        first_operator_password: Some(Secret::new(FIRST.to_owned())),
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

    async fn first_password_is_good_until_it_is_changed_for_changing_it_alone(url: DatabaseUrl) {
        let test = TestApp::with(&url, options(&url, "root@example.org")).await;
        let from = Origin::default();
        let sign_in = async |password| {
            match test.app.sign_in("root@example.org", password, &from).await.unwrap() {
                SignedIn::Tokens(tokens) => tokens,
                SignedIn::Challenge(_) => panic!("there is no second factor"),
            }
        };
        let tokens = sign_in(FIRST).await;
        let said = claims(&tokens.access);
        assert!(said.init && said.adm);
        let root = Caller { session: said.sid, ..test.caller(said.sub, true) };
        let change = async |new| test.app.change_password(&root, FIRST, new, false, &from).await;
        assert_eq!(refusal_of(change(FIRST).await), Refusal::PasswordUnchanged);
        change("seven lanterns by the lake").await.unwrap();
        let refreshed = test.app.refresh(&tokens.refresh, Switch::Keep, &from).await.unwrap();
        assert!(!claims(&refreshed.access).init);
        assert!(!claims(&sign_in("seven lanterns by the lake").await.access).init);
    }

    async fn key_of_the_options_waits_for_no_password(url: DatabaseUrl) {
        let options = options(&url, "root@example.org");
        let key = options.first_operator_api_key.clone().unwrap();
        let test = TestApp::with(&url, options).await;
        let (token, _) = test.app.exchange_key(key.reveal()).await.unwrap();
        let said = claims(&token);
        assert!(said.adm && !said.init);
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
