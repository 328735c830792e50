use kinora_store::on_both_databases;
use sea_orm::EntityTrait;

use super::*;
use crate::app::NewKey;
use crate::app::testing::{TestApp, refusal_of};
use crate::domain::api_key::ApiKey;
use crate::store::entity::trust::ended;

async fn organisation(test: &TestApp, owner: &Caller) -> Uuid {
    let origin = Origin::default();
    let made = test.app.create_organisation(owner, "Engines", &origin);
    made.await.unwrap().organisation.id
}

async fn member(test: &TestApp, organisation: Uuid, email: &str, role: Role) -> Caller {
    let caller = test.user(email).await;
    let tx = test.app.store.begin().await.unwrap();
    crate::store::members::insert(&tx, organisation, caller.id, role, test.app.now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    caller
}

async fn create(
    test: &TestApp,
    caller: &Caller,
    organisation: Uuid,
) -> Result<service_account::Model, Error> {
    test.app
        .create_service_account(caller, organisation, "renderer", &Origin::default())
        .await
}

async fn create_key(test: &TestApp, caller: &Caller, program: Uuid) -> Result<ApiKey, Error> {
    let new = NewKey {
        name: "key".to_owned(),
        program: Some(program),
        ..NewKey::default()
    };
    let made = test.app.create_key(caller, new, &Origin::default()).await;
    made.map(|(_, key)| key)
}

async fn delete(test: &TestApp, caller: &Caller, program: Uuid) -> Result<(), Error> {
    test.app
        .delete_service_account(caller, program, &Origin::default())
        .await
}

on_both_databases! {
    async fn program_acts_for_its_organisation_as_a_member(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let program = create(&test, &ada, engines).await.unwrap();
        let key = create_key(&test, &ada, program.id).await.unwrap();
        let holder = crate::store::keys::look_up(test.app.store.reader(), key.id()).await;
        let holder = holder.unwrap().unwrap().holder().unwrap();
        assert_eq!(holder.subject, program.id);
        assert_eq!(holder.organisation, Some((engines, Role::Member)));
        // It is the program's key, not that of who has made it.
        assert!(test.app.list_keys(&ada, None).await.unwrap().is_empty());
        let listed = test.app.list_keys(&ada, Some(program.id)).await.unwrap();
        assert_eq!(listed[0].id, key.id());
        assert_eq!(listed[0].organisation_id, Some(engines));
        let programs = test.app.list_service_accounts(&ada, engines).await.unwrap();
        assert_eq!(programs, [program]);
    }

    async fn programs_are_the_matter_of_owners_and_admins(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let program = create(&test, &ada, engines).await.unwrap().id;
        let key = create_key(&test, &ada, program).await.unwrap();
        let stranger = test.user("eve@example.org").await;
        let charles = member(&test, engines, "charles@example.org", Role::Member).await;
        let admin = member(&test, engines, "grace@example.org", Role::Admin).await;
        for (caller, expected) in [
            (&stranger, Refusal::NotFound),
            (&charles, Refusal::RoleInsufficient),
        ] {
            assert_eq!(refusal_of(create(&test, caller, engines).await), expected);
            assert_eq!(refusal_of(create_key(&test, caller, program).await), expected);
            assert_eq!(refusal_of(delete(&test, caller, program).await), expected);
            let listed = test.app.list_service_accounts(caller, engines).await;
            assert_eq!(refusal_of(listed), expected);
            let listed = test.app.list_keys(caller, Some(program)).await;
            assert_eq!(refusal_of(listed), expected);
            let revoked = test.app.revoke_key(caller, key.id(), &Origin::default()).await;
            assert_eq!(refusal_of(revoked), Refusal::NotFound);
        }
        create_key(&test, &admin, program).await.unwrap();
        test.app.revoke_key(&admin, key.id(), &Origin::default()).await.unwrap();
        delete(&test, &admin, program).await.unwrap();
    }

    async fn deleted_program_is_gone_with_its_keys(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let program = create(&test, &ada, engines).await.unwrap().id;
        let key = create_key(&test, &ada, program).await.unwrap();
        delete(&test, &ada, program).await.unwrap();
        let used = test.app.exchange_key(&key.reveal()).await;
        assert_eq!(refusal_of(used), Refusal::ApiKeyInvalid);
        for id in [program, key.id()] {
            let row = ended::Entity::find_by_id(id).one(test.app.store.reader()).await;
            assert!(row.unwrap().is_some());
        }
        assert_eq!(refusal_of(delete(&test, &ada, program).await), Refusal::NotFound);
        assert_eq!(refusal_of(create_key(&test, &ada, program).await), Refusal::NotFound);
        assert!(test.app.list_service_accounts(&ada, engines).await.unwrap().is_empty());
    }

    async fn key_of_a_program_names_no_other_organisation(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let other = organisation(&test, &ada).await;
        let program = create(&test, &ada, engines).await.unwrap().id;
        let new = NewKey {
            name: "key".to_owned(),
            organisation: Some(other),
            program: Some(program),
            ..NewKey::default()
        };
        let made = test.app.create_key(&ada, new, &Origin::default()).await;
        assert_eq!(refusal_of(made), Refusal::NotFound);
    }

    async fn an_organisation_has_no_more_programs_than_allowed(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let tx = test.app.store.begin().await.unwrap();
        for _ in 0..MAX_SERVICE_ACCOUNTS {
            let program = service_account::Model {
                id: Uuid::now_v7(),
                organisation_id: engines,
                name: "one of many".to_owned(),
                create_time: test.app.now(),
                delete_time: None,
            };
            programs::insert(&tx, program).await.unwrap();
        }
        tx.commit().await.unwrap();
        let made = create(&test, &ada, engines).await;
        assert_eq!(refusal_of(made), Refusal::TooManyServiceAccounts);
    }
}
