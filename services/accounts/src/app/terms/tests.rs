use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::TestApp;
use crate::app::testing::people::somewhere;

async fn published(test: &TestApp, text: &str) -> Terms {
    let operator = test.caller(Uuid::now_v7(), true);
    let made = test.app.publish_terms(&operator, text.to_owned()).await;
    made.unwrap()
}

async fn accepted(test: &TestApp, user: &Caller, terms: &Terms) -> Result<(), Error> {
    let version = terms.version.unsigned_abs();
    test.app
        .accept_terms(user, version, &terms.sha256, &somewhere())
        .await
}

on_both_databases! {
    async fn versions_come_into_force_one_after_the_other(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        assert_eq!(test.app.terms_in_force().await.unwrap(), None);
        let first = published(&test, "one").await;
        let second = published(&test, "two").await;
        assert_eq!((first.version, second.version), (1, 2));
        assert_eq!(test.app.terms_in_force().await.unwrap().as_ref(), Some(&second));
        let versions = test.app.list_terms().await.unwrap();
        let shown: Vec<_> = versions.iter().map(|t| (t.version, t.text.as_str())).collect();
        assert_eq!(shown, [(2, ""), (1, "")]);
        let operator = test.caller(Uuid::now_v7(), true);
        let refused = test.app.publish_terms(&operator, String::new()).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::TextInvalid))));
        assert_eq!(test.audited().await, ["terms.publish", "terms.publish"]);
    }

    async fn operators_who_publish_at_once_make_versions_of_their_own(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let texts = ["a", "b", "c", "d", "e", "f"];
        let made = futures::future::join_all(texts.map(|text| published(&test, text))).await;
        let mut versions: Vec<_> = made.iter().map(|terms| terms.version).collect();
        versions.sort_unstable();
        assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    }

    async fn only_the_version_in_force_is_accepted_and_that_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let anna = test.person("anna").await;
        let first = published(&test, "one").await;
        accepted(&test, &anna, &first).await.unwrap();
        let second = published(&test, "two").await;
        let mixed = Terms { version: 2, ..first.clone() };
        for outdated in [&first, &mixed, &Terms { version: 3, ..second.clone() }] {
            let refused = accepted(&test, &anna, outdated).await;
            assert!(matches!(refused, Err(Error::Refused(Refusal::TermsOutdated))));
        }
        assert_eq!(test.row_of(anna.id).await.terms_version, 1);
        test.clock.advance(chrono::TimeDelta::hours(1));
        accepted(&test, &anna, &second).await.unwrap();
        let history = test.app.terms_acceptances(anna.id).await.unwrap();
        test.clock.advance(chrono::TimeDelta::hours(1));
        accepted(&test, &anna, &second).await.unwrap();
        assert_eq!(test.app.terms_acceptances(anna.id).await.unwrap(), history);
        let versions: Vec<_> = history.iter().map(|a| (a.version, a.address.as_str())).collect();
        assert_eq!(versions, [(2, "192.0.2.7"), (1, "192.0.2.7")]);
        assert!(history[0].time > history[1].time);
        assert_eq!(test.row_of(anna.id).await.terms_version, 2);
    }

    async fn acceptances_at_once_are_one_line_of_history(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let anna = test.person("anna").await;
        let terms = published(&test, "one").await;
        let at_once = (0..5).map(|_| accepted(&test, &anna, &terms));
        for done in futures::future::join_all(at_once).await {
            done.unwrap();
        }
        assert_eq!(test.app.terms_acceptances(anna.id).await.unwrap().len(), 1);
        let stranger = test.caller(Uuid::now_v7(), false);
        let refused = accepted(&test, &stranger, &terms).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::NotFound))));
    }
}
