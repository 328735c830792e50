use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::people::somewhere;
use crate::app::testing::{TestApp, claims};
use crate::domain::tokens::Shown;

async fn age_in_token(test: &TestApp, user: Uuid) -> Age {
    let shown = Shown {
        methods: &["pwd"],
        assurance: 1,
    };
    let tx = test.app.store.begin().await.unwrap();
    let from = somewhere();
    let opened = test.app.open_session(&tx, user, shown, None, &from);
    let tokens = opened.await.unwrap();
    tx.commit().await.unwrap();
    claims(&tokens.access).age
}

on_both_databases! {
    async fn token_says_how_sure_it_is_that_somebody_is_of_age(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (root, adult, minor) = (
            test.operator("root").await,
            test.person("adult").await,
            test.person("minor").await,
        );
        assert_eq!(age_in_token(&test, adult.id).await, Age::Unverified);
        test.app.declare_age(&adult, 1990, &somewhere()).await.unwrap();
        test.app.declare_age(&minor, 2015, &somewhere()).await.unwrap();
        assert_eq!(age_in_token(&test, adult.id).await, Age::Declared);
        assert_eq!(age_in_token(&test, minor.id).await, Age::Unverified);
        for (person, is_adult, age) in [
            (&adult, true, Age::Verified),
            (&minor, false, Age::Unverified),
        ] {
            let method = "papers".to_owned();
            test.app.set_age(&root, person.id, is_adult, method).await.unwrap();
            assert_eq!(age_in_token(&test, person.id).await, age);
        }
    }
}
