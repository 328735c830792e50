use kinora_store::on_both_databases;
use sea_orm::{EntityTrait, IntoActiveModel, PaginatorTrait};

use super::*;
use crate::app::testing::people::somewhere;
use crate::app::testing::{TestApp, code_in};
use crate::domain::audit::Filter;
use crate::domain::origin::Origin;
use crate::store::entity::people::{recovery_code, session, totp};
use crate::store::entity::trust::ended as endings_rows;

async fn has_session_and_key(test: &TestApp, user: Uuid) -> (Uuid, Uuid) {
    let now = test.app.now();
    let session = session::Model {
        id: Uuid::now_v7(),
        user_id: user,
        organisation_id: None,
        refresh_key: vec![7; 32],
        counter: 0,
        rotate_time: now,
        assurance: 1,
        methods: "pwd".to_owned(),
        auth_time: now,
        user_agent: String::new(),
        address: String::new(),
        create_time: now,
        last_use_time: now,
        expire_time: now + chrono::TimeDelta::days(180),
        end_time: None,
        second_factor_time: None,
    };
    let key = api_key::Model {
        id: Uuid::now_v7(),
        secret_sha256: vec![7; 32],
        user_id: Some(user),
        service_account_id: None,
        organisation_id: None,
        name: "a key".to_owned(),
        hint: "kk_".to_owned(),
        scopes: "videos:read webhooks".to_owned(),
        create_time: now,
        expire_time: None,
        last_use_time: None,
        revoke_time: None,
    };
    let ids = (session.id, key.id);
    let tx = test.app.store.begin().await.unwrap();
    let row = session.into_active_model();
    session::Entity::insert(row)
        .exec_without_returning(&tx)
        .await
        .unwrap();
    let row = key.into_active_model();
    api_key::Entity::insert(row)
        .exec_without_returning(&tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    ids
}

async fn is_noted(test: &TestApp, id: Uuid) -> bool {
    let found = endings_rows::Entity::find_by_id(id).one(test.app.store.reader());
    found.await.unwrap().is_some()
}

fn is_refused<T>(answer: Result<T, Error>, why: Refusal) -> bool {
    matches!(answer, Err(Error::Refused(refusal)) if refusal == why)
}

on_both_databases! {
    async fn users_are_found_by_parts_of_their_address_in_pages(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.person("ben_50%").await);
        for (query, found) in [
            ("", vec![ben.id, anna.id]),
            ("ANNA", vec![anna.id]),
            ("@example", vec![ben.id, anna.id]),
            ("n_5", vec![ben.id]),
            ("50%@", vec![ben.id]),
            ("a_na", vec![]),
            ("%", vec![ben.id]),
            ("\\", vec![]),
            (&anna.id.to_string(), vec![anna.id]),
        ] {
            let (users, _) = test.app.list_users(query, 0, "").await.unwrap();
            let ids: Vec<_> = users.iter().map(|view| view.row.id).collect();
            assert_eq!(ids, found, "{query}");
        }
        let (first, token) = test.app.list_users("", 1, "").await.unwrap();
        let (second, end) = test.app.list_users("", 1, &token).await.unwrap();
        assert_eq!((first[0].row.id, second[0].row.id, end.as_str()), (ben.id, anna.id, ""));
        assert!(is_refused(test.app.list_users("a", 1, &token).await, Refusal::PageTokenInvalid));
        let found = test.app.find_user(anna.id).await.unwrap();
        assert_eq!(found.row.email_key, "anna@example.org");
        assert!(is_refused(test.app.find_user(Uuid::now_v7()).await, Refusal::NotFound));
    }

    async fn a_disabled_user_has_no_sessions_keys_or_tokens_left(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (root, anna) = (test.operator("root").await, test.person("anna").await);
        let (session, key) = has_session_and_key(&test, anna.id).await;
        let disabled = test.app.disable_user(&root, anna.id, "spam").await.unwrap();
        assert_eq!(disabled.row.state, users::DISABLED);
        for id in [session, key, anna.id] {
            assert!(is_noted(&test, id).await);
        }
        let keys = test.app.keys_of(anna.id).await.unwrap();
        assert_eq!(keys[0].revoke_time, Some(test.app.now()));
        let row = session::Entity::find_by_id(session).one(test.app.store.reader()).await;
        assert_eq!(row.unwrap().unwrap().end_time, Some(test.app.now()));
        test.app.disable_user(&root, anna.id, "spam").await.unwrap();
        let enabled = test.app.enable_user(&root, anna.id).await.unwrap();
        assert_eq!(enabled.row.state, users::ACTIVE);
        assert_eq!(test.audited().await, ["user.disable", "user.enable"]);
        let lines = test.app.activity(anna.id, 0, "").await.unwrap().0;
        assert!(lines.iter().all(|line| line.actor == root.id.to_string()));
        assert_eq!(lines[1].detail, "spam");
        let nobody = test.app.disable_user(&root, Uuid::now_v7(), "").await;
        assert!(is_refused(nobody, Refusal::NotFound));
    }

    async fn who_leaves_still_does_after_having_been_disabled(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (root, anna) = (test.operator("root").await, test.person("anna").await);
        let leaving = user::ActiveModel {
            state: Set(users::LEAVING),
            erase_time: Set(Some(test.app.now())),
            ..Default::default()
        };
        test.changed(anna.id, leaving).await;
        test.app.disable_user(&root, anna.id, "").await.unwrap();
        let enabled = test.app.enable_user(&root, anna.id).await.unwrap();
        assert_eq!(enabled.row.state, users::LEAVING);
    }

    async fn log_says_from_where_an_operator_has_called(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (mut root, anna) = (test.operator("root").await, test.person("anna").await);
        root.origin = somewhere();
        test.app.disable_user(&root, anna.id, "").await.unwrap();
        test.app.publish_terms(&root, "Be kind.".to_owned()).await.unwrap();
        test.app.rotate_signing_key(&root).await.unwrap();
        let (lines, _) = test.app.audit_lines(&Filter::default(), 3, "").await.unwrap();
        for line in lines {
            let place = (line.address.as_str(), line.user_agent.as_str());
            let expected = (somewhere().address, somewhere().user_agent);
            assert_eq!(place, (expected.0.as_str(), expected.1.as_str()), "{}", line.action);
        }
    }

    async fn the_last_operator_stays_one(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (root, anna) = (test.operator("root").await, test.person("anna").await);
        let app = &test.app;
        assert!(is_refused(app.set_operator(&root, root.id, false).await, Refusal::LastOperator));
        assert!(is_refused(app.disable_user(&root, root.id, "").await, Refusal::LastOperator));
        app.set_operator(&root, anna.id, true).await.unwrap();
        assert!(is_noted(&test, anna.id).await);
        app.disable_user(&root, anna.id, "").await.unwrap();
        assert!(is_refused(app.set_operator(&root, root.id, false).await, Refusal::LastOperator));
        app.set_operator(&root, anna.id, false).await.unwrap();
        assert_eq!(
            test.audited().await,
            ["operator.grant", "user.disable", "operator.revoke"]
        );
    }

    async fn operators_who_depose_each_other_at_once_leave_one(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let mut operators = Vec::new();
        for name in ["a", "b", "c", "d"] {
            operators.push(test.operator(name).await);
        }
        let depose = |at: usize| {
            let (app, all) = (&test.app, &operators);
            async move { app.set_operator(&all[(at + 1) % all.len()], all[at].id, false).await }
        };
        let answers = futures::future::join_all((0..operators.len()).map(depose)).await;
        let refused = answers.into_iter().filter(Result::is_err).count();
        assert_eq!(refused, 1);
        let left = users::operators_beside(test.app.store.reader(), Uuid::nil()).await;
        assert_eq!(left.unwrap(), 1);
    }

    async fn a_reset_takes_all_second_factors_and_tells_the_owner(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (root, anna) = (test.operator("root").await, test.person("anna").await);
        let (session, _) = has_session_and_key(&test, anna.id).await;
        let tx = test.app.store.begin().await.unwrap();
        second_factors::keep_totp(&tx, anna.id, vec![1], test.app.now()).await.unwrap();
        let hashes = vec![vec![1], vec![2]];
        second_factors::replace_recovery_codes(&tx, anna.id, hashes).await.unwrap();
        tx.commit().await.unwrap();
        let reset = test.app.reset_second_factors(&root, anna.id, "lost").await.unwrap();
        assert!(!reset.has_totp && reset.recovery_codes_left == 0 && reset.passkeys == 0);
        let reader = test.app.store.reader();
        assert_eq!(totp::Entity::find().count(reader).await.unwrap(), 0);
        assert_eq!(recovery_code::Entity::find().count(reader).await.unwrap(), 0);
        assert!(is_noted(&test, session).await);
        let mails = test.mails().await;
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].recipient, "anna@example.org");
    }

    async fn signing_out_a_user_leaves_the_keys(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (root, anna) = (test.operator("root").await, test.person("anna").await);
        let (session, key) = has_session_and_key(&test, anna.id).await;
        assert_eq!(test.app.sign_out_user(&root, anna.id).await.unwrap(), 1);
        assert_eq!(test.app.sign_out_user(&root, anna.id).await.unwrap(), 0);
        assert!(is_noted(&test, session).await && !is_noted(&test, key).await);
        test.app.revoke_key_of_anybody(&root, key).await.unwrap();
        assert!(is_noted(&test, key).await);
        let unknown = test.app.revoke_key_of_anybody(&root, Uuid::now_v7()).await;
        assert!(is_refused(unknown, Refusal::NotFound));
    }

    async fn organisations_are_listed_with_their_members(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.person("ben").await);
        let tx = test.app.store.begin().await.unwrap();
        let mut ids = Vec::new();
        for (name, members) in [("Big 100%", vec![anna.id, ben.id]), ("Small", vec![anna.id])] {
            let row = organisation::Model {
                id: Uuid::now_v7(),
                name: name.to_owned(),
                create_time: test.app.now(),
                delete_time: None,
            };
            ids.push(row.id);
            for user_id in members {
                let member = crate::store::entity::programs::membership::Model {
                    organisation_id: row.id,
                    user_id,
                    role: 3,
                    join_time: test.app.now(),
                };
                crate::store::entity::programs::membership::Entity::insert(member.into_active_model())
                    .exec_without_returning(&tx)
                    .await
                    .unwrap();
            }
            let row = row.into_active_model();
            organisation::Entity::insert(row).exec_without_returning(&tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        for (query, found) in [
            ("", vec![(ids[1], 1), (ids[0], 2)]),
            ("big", vec![(ids[0], 2)]),
            ("0%", vec![(ids[0], 2)]),
            ("nothing", vec![]),
        ] {
            let (rows, _) = test.app.list_all_organisations(query, 0, "").await.unwrap();
            let rows: Vec<_> = rows.iter().map(|(row, members)| (row.id, *members)).collect();
            assert_eq!(rows, found, "{query}");
        }
    }

    async fn an_account_that_is_made_belongs_to_who_gets_the_mail(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let root = test.operator("root").await;
        let app = &test.app;
        // Somebody had signed up with the address and waits.
        app.sign_up("dora@example.org", "a squatter 33", "", &Origin::default()).await.unwrap();
        let squatted = code_in(&test.mails().await[0].body);
        let new = NewUser { email: " Dora@Example.org ", display_name: "Dora", ..NewUser::default() };
        let made = app.create_user(&root, new).await.unwrap();
        assert_eq!((made.row.email_key.as_str(), made.row.is_operator), ("dora@example.org", false));
        assert_eq!(made.row.password_hash, None);
        let taken = app.verify_email(&squatted, "a squatter 33", &Origin::default()).await;
        assert!(is_refused(taken.map(drop), Refusal::CodeInvalid));
        let mails = test.mails().await;
        let mail = mails.last().unwrap();
        assert_eq!(mail.recipient, "Dora@example.org");
        let code = code_in(&mail.body);
        app.reset_password(&code, "gk4-Qz81wY", &Origin::default()).await.unwrap();
        let signed_in = app.sign_in("dora@example.org", "gk4-Qz81wY", &Origin::default()).await;
        assert!(signed_in.is_ok());
        assert_eq!(test.audited().await[..2], ["sign_up", "user.create"]);
    }

    async fn an_address_gets_one_account(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let root = test.operator("root").await;
        let new = NewUser { email: "dora@example.org", is_operator: true, ..NewUser::default() };
        let (one, other) = tokio::join!(
            test.app.create_user(&root, new),
            test.app.create_user(&root, new),
        );
        let (made, refused) = if one.is_ok() { (one, other) } else { (other, one) };
        assert!(made.unwrap().row.is_operator);
        assert!(is_refused(refused, Refusal::EmailTaken));
        assert_eq!(test.mails().await.len(), 1);
        assert_eq!(test.audited().await, ["user.create"]);
        for (new, why) in [
            (NewUser { email: "dora", ..NewUser::default() }, Refusal::EmailInvalid),
            (NewUser { email: "e@example.org", display_name: "\u{202E}", ..NewUser::default() }, Refusal::NameInvalid),
        ] {
            assert!(is_refused(test.app.create_user(&root, new).await, why));
        }
    }
}
