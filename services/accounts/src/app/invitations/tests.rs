use kinora_store::on_both_databases;
use sea_orm::EntityTrait;

use super::*;
use crate::app::testing::{TestApp, refusal_of};

async fn organisation(test: &TestApp, owner: &Caller) -> Uuid {
    let origin = Origin::default();
    let made = test.app.create_organisation(owner, "Engines", &origin);
    made.await.unwrap().organisation.id
}

async fn member(test: &TestApp, organisation: Uuid, email: &str, role: Role) -> Caller {
    let caller = test.user(email).await;
    let tx = test.app.store.begin().await.unwrap();
    let now = test.app.now();
    let joined = members::insert(&tx, organisation, caller.id, role, now);
    joined.await.unwrap();
    tx.commit().await.unwrap();
    caller
}

async fn invite(
    test: &TestApp,
    caller: &Caller,
    organisation: Uuid,
    email: &str,
    role: Role,
) -> Result<invitation::Model, Error> {
    test.app
        .invite(caller, organisation, email, role, &Origin::default())
        .await
}

async fn accept(test: &TestApp, caller: &Caller, code: &str) -> Result<Seen, Error> {
    test.app
        .accept_invitation(caller, code, &Origin::default())
        .await
}

async fn revoke(test: &TestApp, caller: &Caller, id: Uuid) -> Result<(), Error> {
    let origin = Origin::default();
    test.app.revoke_invitation(caller, id, &origin).await
}

/// The code in the newest mail: the only line of its length without a space.
async fn newest_code(test: &TestApp) -> String {
    let mails = test.mails().await;
    let body = &mails.last().expect("a mail").body;
    let code = body
        .lines()
        .find(|line| line.len() == 43 && !line.contains(' '));
    code.expect("a code").to_owned()
}

async fn rows(test: &TestApp) -> usize {
    let rows = invitation::Entity::find().all(test.app.store.reader());
    rows.await.unwrap().len()
}

/// Invitations beyond what a test wants to make one by one.
async fn fill(test: &TestApp, organisation: Uuid, inviter: Uuid, count: u64, age: TimeDelta) {
    let create_time = test.app.now() - age;
    let tx = test.app.store.begin().await.unwrap();
    for number in 0..count {
        let id = Uuid::now_v7();
        let email = format!("guest{number}@example.org");
        let invitation = invitation::Model {
            id,
            organisation_id: organisation,
            email: email.clone(),
            email_key: email,
            role: 1,
            code_sha256: id.as_bytes().to_vec(),
            invited_by: inviter,
            create_time,
            expire_time: create_time + LIFETIME,
            accept_time: None,
            revoke_time: None,
        };
        invitations::insert(&tx, invitation).await.unwrap();
    }
    tx.commit().await.unwrap();
}

on_both_databases! {
    async fn invited_person_joins_once_with_the_role_they_were_given(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let invited = invite(&test, &ada, engines, " Grace@Example.org", Role::Admin).await;
        let invited = invited.unwrap();
        assert_eq!(test.app.invitations(&ada, engines).await.unwrap(), std::slice::from_ref(&invited));
        let mails = test.mails().await;
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].recipient, "Grace@example.org");
        assert!(mails[0].body.contains("ada@example.org"));
        assert!(!mails[0].body.contains("Engines"));
        let code = newest_code(&test).await;
        assert_eq!(invited.code_sha256, random::fingerprint(&code));
        // The account may be younger than the invitation.
        let grace = test.user("grace@example.org").await;
        let seen = accept(&test, &grace, &code).await.unwrap();
        assert_eq!((seen.organisation.id, seen.role, seen.members), (engines, Role::Admin, 2));
        assert!(test.app.invitations(&ada, engines).await.unwrap().is_empty());
        assert_eq!(refusal_of(accept(&test, &grace, &code).await), Refusal::CodeInvalid);
    }

    async fn bad_codes_are_all_alike_and_change_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let grace = test.user("grace@example.org").await;
        let eve = test.user("eve@example.org").await;
        let engines = organisation(&test, &ada).await;
        let refused = async |caller: &Caller, code: &str| {
            assert_eq!(refusal_of(accept(&test, caller, code).await), Refusal::CodeInvalid);
        };
        let huge = "x".repeat(1 << 20);
        for code in ["", "x", &huge, "\0"] {
            refused(&grace, code).await;
        }
        let revoked = invite(&test, &ada, engines, "grace@example.org", Role::Member).await;
        let revoked_code = newest_code(&test).await;
        revoke(&test, &ada, revoked.unwrap().id).await.unwrap();
        refused(&grace, &revoked_code).await;
        let first = invite(&test, &ada, engines, "grace@example.org", Role::Member).await;
        first.unwrap();
        let replaced_code = newest_code(&test).await;
        let second = invite(&test, &ada, engines, "grace@example.org", Role::Member).await;
        second.unwrap();
        let code = newest_code(&test).await;
        refused(&grace, &replaced_code).await;
        // A foreign code is not used up by who finds it.
        refused(&eve, &code).await;
        test.clock.advance(LIFETIME);
        refused(&grace, &code).await;
        assert_eq!(test.app.organisation(&ada, engines).await.unwrap().members, 1);
        invite(&test, &ada, engines, "grace@example.org", Role::Member).await.unwrap();
        let code = newest_code(&test).await;
        test.clock.advance(LIFETIME - TimeDelta::microseconds(1));
        accept(&test, &grace, &code).await.unwrap();
    }

    async fn code_is_good_once_even_for_two_at_a_time(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let grace = test.user("grace@example.org").await;
        let engines = organisation(&test, &ada).await;
        invite(&test, &ada, engines, "grace@example.org", Role::Member).await.unwrap();
        let code = newest_code(&test).await;
        let (one, other) = tokio::join!(
            accept(&test, &grace, &code),
            accept(&test, &grace, &code),
        );
        let refused = if one.is_ok() { other } else { one };
        assert_eq!(refusal_of(refused), Refusal::CodeInvalid);
        assert_eq!(test.app.organisation(&grace, engines).await.unwrap().members, 2);
    }

    async fn inviting_a_member_answers_alike_and_changes_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        member(&test, engines, "grace@example.org", Role::Member).await;
        let now = test.app.now();
        let answer = invite(&test, &ada, engines, "grace@example.org", Role::Admin).await;
        let answer = answer.unwrap();
        assert_eq!(answer.email, "grace@example.org");
        assert_eq!((answer.create_time, answer.expire_time), (now, now + LIFETIME));
        assert_eq!(rows(&test).await, 0);
        assert!(test.mails().await.is_empty());
    }

    async fn who_makes_many_organisations_sends_no_more_mails(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let grace = test.user("grace@example.org").await;
        let eve = test.user("eve@example.org").await;
        let first = organisation(&test, &grace).await;
        let second = organisation(&test, &grace).await;
        // Who may not invite is not counted, and does not count for others.
        let refused = invite(&test, &eve, first, "guest@example.org", Role::Member).await;
        assert_eq!(refusal_of(refused), Refusal::NotFound);
        for number in 0..51 {
            let (organisation, email) = ([first, second][number % 2], format!("guest{number}@example.org"));
            invite(&test, &grace, organisation, &email, Role::Member).await.unwrap();
        }
        let third = organisation(&test, &grace).await;
        let late = invite(&test, &grace, third, "guest@example.org", Role::Member).await;
        assert!(matches!(late, Err(Error::Throttled { .. })));
        test.clock.advance(TimeDelta::minutes(1));
        invite(&test, &grace, third, "guest@example.org", Role::Member).await.unwrap();
    }

    async fn who_may_not_invite_is_refused(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let eve = test.user("eve@example.org").await;
        let engines = organisation(&test, &ada).await;
        let admin = member(&test, engines, "admin@example.org", Role::Admin).await;
        let charles = member(&test, engines, "charles@example.org", Role::Member).await;
        for (caller, email, role, expected) in [
            (&eve, "x@example.org", Role::Member, Refusal::NotFound),
            (&charles, "x@example.org", Role::Member, Refusal::RoleInsufficient),
            (&admin, "x@example.org", Role::Owner, Refusal::RoleInsufficient),
            (&ada, "x@example", Role::Member, Refusal::EmailInvalid),
            (&ada, "\u{430}da@example.org", Role::Member, Refusal::EmailInvalid),
        ] {
            let invited = invite(&test, caller, engines, email, role).await;
            assert_eq!(refusal_of(invited), expected);
        }
        assert_eq!(rows(&test).await, 0);
        let invited = invite(&test, &admin, engines, "x@example.org", Role::Admin).await;
        let invited = invited.unwrap();
        for caller in [&eve, &charles] {
            let revoked = revoke(&test, caller, invited.id).await;
            assert_eq!(refusal_of(revoked), Refusal::NotFound);
            assert!(test.app.invitations(caller, engines).await.is_err());
        }
        assert_eq!(test.app.invitations(&ada, engines).await.unwrap().len(), 1);
    }

    async fn nobody_joins_by_the_word_of_who_is_gone_or_may_no_more(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        let admin = member(&test, engines, "admin@example.org", Role::Admin).await;
        let second = member(&test, engines, "second@example.org", Role::Admin).await;
        invite(&test, &ada, engines, "one@example.org", Role::Member).await.unwrap();
        invite(&test, &admin, engines, "two@example.org", Role::Member).await.unwrap();
        invite(&test, &second, engines, "three@example.org", Role::Member).await.unwrap();
        let origin = Origin::default();
        test.app.remove_member(&ada, engines, admin.id, &origin).await.unwrap();
        let changed = test.app.change_role(&ada, engines, second.id, Role::Member, &origin);
        changed.await.unwrap();
        let left = test.app.invitations(&ada, engines).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].email, "one@example.org");
        let code = {
            test.app.delete_organisation(&ada, engines, &origin).await.unwrap();
            let mails = test.mails().await;
            let mail = mails.iter().find(|mail| mail.recipient == "one@example.org");
            let body = mail.expect("the first mail").body.clone();
            let code = body.lines().find(|line| line.len() == 43 && !line.contains(' '));
            code.expect("a code").to_owned()
        };
        let one = test.user("one@example.org").await;
        assert_eq!(refusal_of(accept(&test, &one, &code).await), Refusal::CodeInvalid);
    }

    async fn no_more_wait_than_allowed(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        fill(&test, engines, ada.id, MAX_WAITING, TimeDelta::days(2)).await;
        let invited = invite(&test, &ada, engines, "x@example.org", Role::Member).await;
        assert_eq!(refusal_of(invited), Refusal::TooManyInvitations);
        // A newer one takes the place of an older one.
        invite(&test, &ada, engines, "guest7@example.org", Role::Member).await.unwrap();
        let waiting = test.app.invitations(&ada, engines).await.unwrap();
        assert_eq!(waiting.len(), 100);
        revoke(&test, &ada, waiting[50].id).await.unwrap();
        invite(&test, &ada, engines, "x@example.org", Role::Member).await.unwrap();
    }

    async fn nobody_is_flooded_with_invitations(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let engines = organisation(&test, &ada).await;
        for _ in 0..MAX_A_DAY_TO_ONE {
            invite(&test, &ada, engines, "x@example.org", Role::Member).await.unwrap();
            test.clock.advance(TimeDelta::hours(1));
        }
        let throttled = invite(&test, &ada, engines, "X@example.org", Role::Member).await;
        let Err(Error::Throttled { retry_after }) = throttled else {
            panic!("{throttled:?}");
        };
        assert_eq!(retry_after, std::time::Duration::from_secs(19 * 3600));
        assert_eq!(test.mails().await.len(), MAX_A_DAY_TO_ONE);
        test.clock.advance(TimeDelta::hours(19));
        invite(&test, &ada, engines, "x@example.org", Role::Member).await.unwrap();
    }

    async fn who_is_in_too_many_organisations_keeps_the_invitation(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let grace = test.user("grace@example.org").await;
        let mut first = None;
        for _ in 0..own::MAX_ORGANISATIONS {
            first = Some(organisation(&test, &grace).await);
        }
        let engines = organisation(&test, &ada).await;
        invite(&test, &ada, engines, "grace@example.org", Role::Member).await.unwrap();
        let code = newest_code(&test).await;
        let refused = accept(&test, &grace, &code).await;
        assert_eq!(refusal_of(refused), Refusal::TooManyOrganisations);
        let origin = Origin::default();
        test.app.delete_organisation(&grace, first.unwrap(), &origin).await.unwrap();
        accept(&test, &grace, &code).await.unwrap();
    }
}
