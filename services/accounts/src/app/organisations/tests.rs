use chrono::TimeDelta;
use kinora_store::on_both_databases;
use sea_orm::ActiveValue::Set;
use sea_orm::{EntityTrait, IntoActiveModel};

use super::*;
use crate::app::NewKey;
use crate::app::testing::{TestApp, refusal_of};
use crate::domain::api_key::ApiKey;
use crate::store::entity::people::{session, user};
use crate::store::entity::trust::ended;

async fn organisation(test: &TestApp, owner: &Caller) -> Uuid {
    let origin = Origin::default();
    let made = test.app.create_organisation(owner, "Engines", &origin);
    made.await.unwrap().organisation.id
}

async fn member(test: &TestApp, organisation: Uuid, email: &str, role: Role) -> Caller {
    let caller = test.user(email).await;
    join(test, organisation, &caller, role).await;
    caller
}

async fn join(test: &TestApp, organisation: Uuid, caller: &Caller, role: Role) {
    let tx = test.app.store.begin().await.unwrap();
    let now = test.app.now();
    let joined = members::insert(&tx, organisation, caller.id, role, now);
    joined.await.unwrap();
    tx.commit().await.unwrap();
}

async fn set_role(
    test: &TestApp,
    caller: &Caller,
    organisation: Uuid,
    user: &Caller,
    role: Role,
) -> Result<Member, Error> {
    test.app
        .change_role(caller, organisation, user.id, role, &Origin::default())
        .await
}

async fn remove(
    test: &TestApp,
    caller: &Caller,
    organisation: Uuid,
    user: &Caller,
) -> Result<(), Error> {
    test.app
        .remove_member(caller, organisation, user.id, &Origin::default())
        .await
}

/// A session of `caller` that acts for an organisation.
async fn bound_session(test: &TestApp, caller: &Caller, organisation: Uuid) -> Uuid {
    let now = test.app.now();
    let row = session::Model {
        id: Uuid::now_v7(),
        user_id: caller.id,
        organisation_id: Some(organisation),
        refresh_key: vec![0; 32],
        counter: 0,
        rotate_time: now,
        assurance: 1,
        methods: "pwd".to_owned(),
        auth_time: now,
        user_agent: String::new(),
        address: String::new(),
        create_time: now,
        last_use_time: now,
        expire_time: now + TimeDelta::days(180),
        end_time: None,
        second_factor_time: None,
    };
    let id = row.id;
    let tx = test.app.store.begin().await.unwrap();
    let insert = session::Entity::insert(row.into_active_model());
    insert.exec_without_returning(&tx).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// For what a session acts; it has not ended.
async fn binding(test: &TestApp, session: Uuid) -> Option<Uuid> {
    let row = session::Entity::find_by_id(session);
    let row = row.one(test.app.store.reader()).await.unwrap().unwrap();
    assert_eq!(row.end_time, None);
    row.organisation_id
}

async fn have_tokens_ended(test: &TestApp, id: Uuid) -> bool {
    let row = ended::Entity::find_by_id(id);
    row.one(test.app.store.reader()).await.unwrap().is_some()
}

async fn key_for(test: &TestApp, caller: &Caller, organisation: Uuid) -> ApiKey {
    let new = NewKey {
        name: "key".to_owned(),
        organisation: Some(organisation),
        ..NewKey::default()
    };
    let made = test.app.create_key(caller, new, &Origin::default()).await;
    made.unwrap().1
}

async fn role_of_key(test: &TestApp, key: &ApiKey) -> Option<Role> {
    let found = keys::look_up(test.app.store.reader(), key.id()).await;
    let found = found.unwrap().unwrap();
    let holder = found.holder().filter(|_| found.revoke_time.is_none());
    Some(holder?.organisation?.1)
}

async fn disable(test: &TestApp, user: Uuid) {
    let tx = test.app.store.begin().await.unwrap();
    let change = user::ActiveModel {
        state: Set(users::DISABLED),
        ..Default::default()
    };
    users::update(&tx, user, change).await.unwrap();
    tx.commit().await.unwrap();
}

on_both_databases! {
    async fn organisation_is_seen_by_its_members_only(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let origin = Origin::default();
        let ada = test.user("ada@example.org").await;
        let eve = test.user("eve@example.org").await;
        let engines = organisation(&test, &ada).await;
        let charles = member(&test, engines, "charles@example.org", Role::Member).await;
        let seen = test.app.organisation(&charles, engines).await.unwrap();
        assert_eq!((seen.role, seen.members), (Role::Member, 2));
        assert_eq!(seen.organisation.name, "Engines");
        let renamed = test.app.rename_organisation(&ada, engines, "Looms", &origin);
        assert_eq!(renamed.await.unwrap().organisation.name, "Looms");
        assert_eq!(test.app.organisations(&ada).await.unwrap()[0].organisation.name, "Looms");
        for id in [engines, Uuid::now_v7()] {
            assert_eq!(refusal_of(test.app.organisation(&eve, id).await), Refusal::NotFound);
            let renamed = test.app.rename_organisation(&eve, id, "Mine", &origin);
            assert_eq!(refusal_of(renamed.await), Refusal::NotFound);
            let deleted = test.app.delete_organisation(&eve, id, &origin);
            assert_eq!(refusal_of(deleted.await), Refusal::NotFound);
            let members = test.app.members(&eve, id, None, 10).await;
            assert_eq!(refusal_of(members), Refusal::NotFound);
            assert_eq!(refusal_of(remove(&test, &eve, id, &eve).await), Refusal::NotFound);
        }
        assert!(test.app.organisations(&eve).await.unwrap().is_empty());
        let renamed = test.app.rename_organisation(&charles, engines, "Mine", &origin);
        assert_eq!(refusal_of(renamed.await), Refusal::RoleInsufficient);
        let deleted = test.app.delete_organisation(&charles, engines, &origin);
        assert_eq!(refusal_of(deleted.await), Refusal::RoleInsufficient);
        let bad = test.app.create_organisation(&ada, "\u{202E}", &origin).await;
        assert_eq!(refusal_of(bad), Refusal::NameInvalid);
    }

    async fn nobody_is_in_more_organisations_than_allowed_even_at_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        for _ in 1..MAX_ORGANISATIONS {
            organisation(&test, &ada).await;
        }
        let origin = Origin::default();
        let (one, other) = tokio::join!(
            test.app.create_organisation(&ada, "one", &origin),
            test.app.create_organisation(&ada, "other", &origin),
        );
        let refused = if one.is_ok() { other } else { one };
        assert_eq!(refusal_of(refused), Refusal::TooManyOrganisations);
        assert_eq!(test.app.organisations(&ada).await.unwrap().len(), 20);
    }

    async fn of_two_owners_who_leave_at_once_one_stays(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let grace = test.user("grace@example.org").await;
        for _ in 0..8 {
            let engines = organisation(&test, &ada).await;
            join(&test, engines, &grace, Role::Owner).await;
            let leave = |who: &Caller| {
                let (app, who) = (test.app.clone(), who.clone());
                tokio::spawn(async move {
                    let origin = Origin::default();
                    app.remove_member(&who, engines, who.id, &origin).await
                })
            };
            let (one, other) = tokio::join!(leave(&ada), leave(&grace));
            let (one, other) = (one.unwrap(), other.unwrap());
            let (refused, stays) = if one.is_ok() { (other, &grace) } else { (one, &ada) };
            assert_eq!(refusal_of(refused), Refusal::LastOwner);
            let seen = test.app.organisation(stays, engines).await.unwrap();
            assert_eq!((seen.role, seen.members), (Role::Owner, 1));
            test.app.delete_organisation(stays, engines, &Origin::default()).await.unwrap();
        }
    }

    async fn of_two_owners_who_demote_each_other_at_once_one_stays(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let grace = member(&test, engines, "grace@example.org", Role::Owner).await;
        let (one, other) = tokio::join!(
            set_role(&test, &ada, engines, &grace, Role::Member),
            set_role(&test, &grace, engines, &ada, Role::Member),
        );
        let refused = if one.is_ok() { other } else { one };
        assert_eq!(refusal_of(refused), Refusal::RoleInsufficient);
    }

    async fn last_owner_who_can_act_stays(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let grace = member(&test, engines, "grace@example.org", Role::Owner).await;
        let admin = member(&test, engines, "admin@example.org", Role::Admin).await;
        disable(&test, grace.id).await;
        let own = set_role(&test, &ada, engines, &ada, Role::Admin).await;
        assert_eq!(refusal_of(own), Refusal::LastOwner);
        let left = remove(&test, &ada, engines, &ada).await;
        assert_eq!(refusal_of(left), Refusal::LastOwner);
        // Who cannot act may be removed; others may leave; and with a second owner the first one may.
        remove(&test, &ada, engines, &grace).await.unwrap();
        set_role(&test, &ada, engines, &admin, Role::Owner).await.unwrap();
        remove(&test, &ada, engines, &ada).await.unwrap();
        let left = remove(&test, &admin, engines, &admin).await;
        assert_eq!(refusal_of(left), Refusal::LastOwner);
    }

    async fn nobody_gives_or_takes_more_than_they_have(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let admin = member(&test, engines, "admin@example.org", Role::Admin).await;
        let other = member(&test, engines, "other@example.org", Role::Admin).await;
        let charles = member(&test, engines, "charles@example.org", Role::Member).await;
        let eve = test.user("eve@example.org").await;
        for (caller, user, role, expected) in [
            (&admin, &charles, Role::Owner, Refusal::RoleInsufficient),
            (&admin, &admin, Role::Owner, Refusal::RoleInsufficient),
            (&admin, &ada, Role::Member, Refusal::RoleInsufficient),
            (&charles, &charles, Role::Admin, Refusal::RoleInsufficient),
            (&charles, &admin, Role::Member, Refusal::RoleInsufficient),
            (&eve, &charles, Role::Admin, Refusal::NotFound),
            (&ada, &eve, Role::Admin, Refusal::NotFound),
        ] {
            let changed = set_role(&test, caller, engines, user, role).await;
            assert_eq!(refusal_of(changed), expected, "{role:?}");
        }
        for (caller, user, expected) in [
            (&admin, &ada, Refusal::RoleInsufficient),
            (&charles, &admin, Refusal::RoleInsufficient),
            (&eve, &charles, Refusal::NotFound),
            (&ada, &eve, Refusal::NotFound),
        ] {
            let removed = remove(&test, caller, engines, user).await;
            assert_eq!(refusal_of(removed), expected);
        }
        assert_eq!(test.app.organisation(&ada, engines).await.unwrap().members, 4);
        set_role(&test, &admin, engines, &charles, Role::Admin).await.unwrap();
        set_role(&test, &admin, engines, &other, Role::Member).await.unwrap();
        remove(&test, &admin, engines, &charles).await.unwrap();
        remove(&test, &other, engines, &other).await.unwrap();
        assert_eq!(test.app.organisation(&ada, engines).await.unwrap().members, 2);
    }

    async fn who_is_removed_acts_no_more_for_the_organisation(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let charles = member(&test, engines, "charles@example.org", Role::Admin).await;
        let (session, key) = (
            bound_session(&test, &charles, engines).await,
            key_for(&test, &charles, engines).await,
        );
        let (others, own) = (
            bound_session(&test, &ada, engines).await,
            key_for(&test, &ada, engines).await,
        );
        assert_eq!(role_of_key(&test, &key).await, Some(Role::Admin));
        remove(&test, &ada, engines, &charles).await.unwrap();
        assert_eq!(role_of_key(&test, &key).await, None);
        assert_eq!(binding(&test, session).await, None);
        for id in [session, key.id()] {
            assert!(have_tokens_ended(&test, id).await);
        }
        // Who comes back does not bring old keys.
        join(&test, engines, &charles, Role::Member).await;
        assert_eq!(role_of_key(&test, &key).await, None);
        assert_eq!(role_of_key(&test, &own).await, Some(Role::Owner));
        assert_eq!(binding(&test, others).await, Some(engines));
        assert!(!have_tokens_ended(&test, others).await);
    }

    async fn lesser_role_takes_effect_on_tokens_that_are_out(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let charles = member(&test, engines, "charles@example.org", Role::Member).await;
        let session = bound_session(&test, &charles, engines).await;
        let key = key_for(&test, &charles, engines).await;
        set_role(&test, &ada, engines, &charles, Role::Admin).await.unwrap();
        assert!(!have_tokens_ended(&test, session).await);
        assert_eq!(role_of_key(&test, &key).await, Some(Role::Admin));
        set_role(&test, &ada, engines, &charles, Role::Member).await.unwrap();
        for id in [session, key.id()] {
            assert!(have_tokens_ended(&test, id).await);
        }
        assert_eq!(role_of_key(&test, &key).await, Some(Role::Member));
        assert_eq!(binding(&test, session).await, Some(engines));
    }

    async fn deleted_organisation_leaves_nothing_that_acts_for_it(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let charles = member(&test, engines, "charles@example.org", Role::Admin).await;
        let session = bound_session(&test, &charles, engines).await;
        let key = key_for(&test, &charles, engines).await;
        let origin = Origin::default();
        let program = test.app.create_service_account(&ada, engines, "renderer", &origin);
        let program = program.await.unwrap().id;
        let deleted = test.app.delete_organisation(&charles, engines, &origin).await;
        assert_eq!(refusal_of(deleted), Refusal::RoleInsufficient);
        test.app.delete_organisation(&ada, engines, &origin).await.unwrap();
        for id in [session, key.id(), program] {
            assert!(have_tokens_ended(&test, id).await);
        }
        assert_eq!(role_of_key(&test, &key).await, None);
        assert_eq!(binding(&test, session).await, None);
        for caller in [&ada, &charles] {
            assert!(test.app.organisations(caller).await.unwrap().is_empty());
            let seen = test.app.organisation(caller, engines).await;
            assert_eq!(refusal_of(seen), Refusal::NotFound);
        }
    }

    async fn members_come_in_pages_without_gap_or_repetition(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let mut expected = vec![ada.id];
        for number in 0..4 {
            let email = format!("member{number}@example.org");
            expected.push(member(&test, engines, &email, Role::Member).await.id);
        }
        let mut seen = Vec::new();
        let mut after = None;
        let mut pages = 0;
        loop {
            let (members, next) = test.app.members(&ada, engines, after, 2).await.unwrap();
            seen.extend(members.into_iter().map(|member| member.user.id));
            pages += 1;
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages), (expected, 3));
    }
}
