use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::domain::grant::GrantOrigin;
use crate::domain::ledger::TransferKind;

fn credits(value: i64) -> Credits {
    Credits::new(value).unwrap()
}

/// A grant by its number, which ends after so many days.
fn grant(id: u128, origin: GrantOrigin, days: Option<i64>, age: i64, available: i64) -> Grant {
    let now: Time = "2026-11-22T12:00:00Z".parse().unwrap();
    Grant {
        id: Uuid::from_u128(id),
        origin,
        credits: credits(1_000_000),
        available: credits(available),
        create_time: now - TimeDelta::days(age),
        expire_time: days.map(|days| now + TimeDelta::days(days)),
        note: String::new(),
    }
}

fn ids(grants: &[Grant]) -> Vec<u128> {
    grants.iter().map(|grant| grant.id.as_u128()).collect()
}

#[test]
fn soonest_then_promotional_then_oldest_then_by_id() {
    use GrantOrigin::{Goodwill, Plan, Purchase, Refund, Voucher};
    let mut grants = vec![
        grant(8, Purchase, None, 0, 1),
        grant(7, Purchase, None, 0, 1),
        grant(6, Refund, None, 9, 1),
        grant(5, Goodwill, None, 0, 1),
        grant(4, Purchase, Some(30), 9, 1),
        grant(3, Voucher, Some(30), 0, 1),
        grant(2, Plan, Some(30), 1, 1),
        grant(1, Purchase, Some(1), 0, 1),
    ];
    in_order(&mut grants);
    assert_eq!(ids(&grants), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn credits_come_back_from_the_end() {
    let parts = [(1, 100), (2, 50), (3, 7)].map(|(id, value)| Part {
        grant: Uuid::from_u128(id),
        credits: credits(value),
    });
    let back = |returned| {
        let back = give_back(&parts, credits(returned));
        back.into_iter()
            .map(|part| (part.grant.as_u128(), part.credits.get()))
            .collect::<Vec<_>>()
    };
    assert_eq!(back(0), []);
    assert_eq!(back(7), [(3, 7)]);
    assert_eq!(back(30), [(3, 7), (2, 23)]);
    assert_eq!(back(157), [(3, 7), (2, 50), (1, 100)]);
}

#[test]
fn what_comes_back_pays_debts_and_does_not_revive_what_has_ended() {
    let payer = Payer::User(Uuid::nil());
    let parts = [(1, 100), (2, 50), (3, 30)].map(|(id, value)| Part {
        grant: Uuid::from_u128(id),
        credits: credits(value),
    });
    let transfer = Transfer::new(String::new(), TransferKind::Release, payer);
    let transfer = transfer.loses(Account::Held(payer), credits(180));
    let has_ended = |id: Uuid| id.as_u128() == 1;
    let transfer = returning(transfer, &parts, payer, credits(60), has_ended);
    assert!(transfer.is_balanced());
    let gained = |account| -> i64 {
        let entries = transfer.entries.iter().filter(|it| it.account == account);
        entries.map(|entry| entry.amount).sum()
    };
    assert_eq!(gained(Account::System(SystemAccount::Expired)), 100);
    assert_eq!(gained(Account::Debt(payer)), 60);
    assert_eq!(gained(Account::Grant(Uuid::from_u128(1))), 0);
    assert_eq!(gained(Account::Grant(Uuid::from_u128(2))), 0);
    assert_eq!(gained(Account::Grant(Uuid::from_u128(3))), 20);
}

fn wallets() -> impl Strategy<Value = Vec<Grant>> {
    let origins = vec![
        GrantOrigin::Plan,
        GrantOrigin::Purchase,
        GrantOrigin::Refund,
    ];
    let one = (
        prop::sample::select(origins),
        prop::option::of(1_i64..5),
        0_i64..3,
        0_i64..100,
    );
    prop::collection::vec(one, 0..8).prop_map(|drawn| {
        let made = drawn.into_iter().zip(1_u128..);
        made.map(|((origin, days, age, available), id)| grant(id, origin, days, age, available))
            .collect()
    })
}

proptest! {
    #[test]
    fn nothing_is_taken_twice_or_from_nowhere(mut grants in wallets(), wanted in 0_i64..500) {
        in_order(&mut grants);
        let before = grants.clone();
        let (parts, missing) = take(&mut grants, credits(wanted));
        let taken: Credits = parts.iter().map(|part| part.credits).sum();
        prop_assert_eq!(taken.checked_add(missing), Some(credits(wanted)));
        let had: Credits = before.iter().map(|grant| grant.available).sum();
        let left: Credits = grants.iter().map(|grant| grant.available).sum();
        prop_assert_eq!(left.checked_add(taken), Some(had));
        prop_assert!(missing.is_zero() || left.is_zero());
        // No later grant is touched while an earlier one has something left.
        let spent = grants.iter().position(|grant| !grant.available.is_zero());
        for (now, then) in grants.iter().zip(&before).skip(spent.map_or(usize::MAX, |it| it + 1)) {
            prop_assert_eq!(now.available, then.available);
        }
    }

    #[test]
    fn what_is_given_back_is_what_was_last_taken(mut grants in wallets(), wanted in 1_i64..500, returned in 0_i64..500) {
        in_order(&mut grants);
        let (parts, _) = take(&mut grants, credits(wanted));
        let held: Credits = parts.iter().map(|part| part.credits).sum();
        let returned = credits(returned).min(held);
        let back = give_back(&parts, returned);
        prop_assert_eq!(back.iter().map(|part| part.credits).sum::<Credits>(), returned);
        // What stays taken is what a smaller hold would have taken.
        let kept = held.saturating_sub(returned);
        let mut left = kept;
        for part in &parts {
            let came_back = back.iter().find(|it| it.grant == part.grant);
            let stays = part.credits.saturating_sub(came_back.map_or(Credits::ZERO, |it| it.credits));
            prop_assert_eq!(stays, part.credits.min(left));
            left = left.saturating_sub(stays);
        }
    }
}
