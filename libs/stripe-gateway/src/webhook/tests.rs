use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;

use super::*;

const OLD: &str = "whsec_old_0123456789";
const NEW: &str = "whsec_new_0123456789";
const AT: i64 = 1_800_000_000;

const BODY: &str = r#"{"id": "evt_1", "object": "event", "type": "invoice.paid", "created": 1799999990,
    "livemode": false, "data": {"object": {"id": "in_1", "object": "invoice", "amount_paid": 1}}}"#;

fn verifier(secrets: &[&str]) -> Verifier {
    let secrets = secrets.iter().map(|secret| Secret::new(*secret));
    Verifier::new(secrets.collect(), false)
}

fn now() -> Time {
    DateTime::from_timestamp(AT, 0).unwrap()
}

fn sign(secret: &str, time: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let signed = mac
        .chain_update(time)
        .chain_update(b".")
        .chain_update(body)
        .finalize();
    hex::encode(signed.into_bytes())
}

fn header(secret: &str, at: i64, body: &str) -> String {
    let time = at.to_string();
    format!("t={time},v1={}", sign(secret, &time, body.as_bytes()))
}

fn verify(header: &str, body: &str) -> Result<Event, WebhookError> {
    verifier(&[NEW, OLD]).verify(body.as_bytes(), header, now())
}

/// A genuine header for whatever body.
fn genuine(body: &str) -> Result<Event, WebhookError> {
    verify(&header(NEW, AT, body), body)
}

#[test]
fn a_genuine_event_gives_its_ids() {
    let event = genuine(BODY).unwrap();
    assert_eq!(
        (event.id.as_str(), event.name.as_str()),
        ("evt_1", "invoice.paid")
    );
    assert_eq!(event.kind, EventKind::Invoice);
    assert_eq!(event.object, Some(ObjectId::parse("in_1").unwrap()));
    assert_eq!(event.created.timestamp(), AT - 10);
    assert!(!event.is_live);
}

/// Computed by `printf 1800000000.{} | openssl dgst -sha256 -hmac whsec_test_secret_1`.
#[test]
fn the_signature_is_that_of_other_programs() {
    let expected = "bae61ffc74617a69fd387f962475a165efe24cc112a92791bead1ca2972acfcd";
    assert_eq!(sign("whsec_test_secret_1", "1800000000", b"{}"), expected);
}

#[test]
fn either_secret_will_do_and_no_other() {
    assert!(verify(&header(OLD, AT, BODY), BODY).is_ok());
    assert!(verify(&header(NEW, AT, BODY), BODY).is_ok());
    let other = verify(&header("whsec_other_012345678", AT, BODY), BODY);
    assert_eq!(other, Err(WebhookError::Signature));
    let without_secrets = verifier(&[]).verify(BODY.as_bytes(), &header("", AT, BODY), now());
    assert_eq!(without_secrets, Err(WebhookError::Signature));
}

#[test]
fn one_good_signature_among_several_is_enough() {
    let good = sign(NEW, &AT.to_string(), BODY.as_bytes());
    let bad = "0".repeat(64);
    for signatures in [
        format!("v1={bad},v1={good}"),
        format!("v1={good},v1={bad}"),
        format!("v0={bad},v1={good}"),
    ] {
        assert!(verify(&format!("t={AT},{signatures}"), BODY).is_ok());
    }
    let only_of_the_old_scheme = format!("t={AT},v0={good}");
    assert_eq!(
        verify(&only_of_the_old_scheme, BODY),
        Err(WebhookError::Header)
    );
}

#[test]
fn webhooks_are_good_for_five_minutes_in_either_direction() {
    for age in [-300, -1, 0, 1, 300] {
        assert!(verify(&header(NEW, AT - age, BODY), BODY).is_ok(), "{age}");
    }
    for age in [-301, 301, AT, -1_000_000_000_000] {
        let stale = verify(&header(NEW, AT - age, BODY), BODY);
        assert_eq!(stale, Err(WebhookError::Stale), "{age}");
    }
    let later = now() + TimeDelta::seconds(301);
    let replayed = verifier(&[NEW]).verify(BODY.as_bytes(), &header(NEW, AT, BODY), later);
    assert_eq!(replayed, Err(WebhookError::Stale));
}

#[test]
fn headers_that_say_two_things_say_nothing() {
    let good = sign(NEW, &AT.to_string(), BODY.as_bytes());
    for header in [
        String::new(),
        "t".to_owned(),
        format!("t={AT}"),
        format!("v1={good}"),
        format!("t={AT},t={AT},v1={good}"),
        format!("t=+{AT},v1={good}"),
        format!("t={AT}0000000000,v1={good}"),
        format!("t=,v1={good}"),
        format!("t=-1,v1={good}"),
        format!("t={AT},v1={}", &good[..62]),
        format!("t={AT},v1={good}00"),
        format!("t={AT},v1=zz{}", &good[2..]),
        format!("t={AT}{}", ",v1=".to_owned() + &vec![good; 9].join(",v1=")),
    ] {
        assert_eq!(verify(&header, BODY), Err(WebhookError::Header), "{header}");
    }
}

#[test]
fn what_is_huge_is_not_looked_at() {
    let long = format!("{},v2={}", header(NEW, AT, BODY), "a".repeat(5000));
    assert_eq!(verify(&long, BODY), Err(WebhookError::TooLarge));
    let body = " ".repeat(MOST_BODY_BYTES + 1);
    assert_eq!(genuine(&body), Err(WebhookError::TooLarge));
}

#[test]
fn signed_nonsense_is_no_event() {
    let deep = "[".repeat(100_000);
    let with = |from: &str, to: &str| BODY.replace(from, to);
    for body in [
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        deep,
        with("evt_1", "evt/1"),
        with("invoice.paid", "Invoice Paid"),
        with("1799999990", "9223372036854775807"),
        with("1799999990", "\"now\""),
        with("false", "null"),
        BODY[..BODY.len() - 1].to_owned(),
    ] {
        assert_eq!(genuine(&body), Err(WebhookError::Content), "{body:.80}");
    }
}

#[test]
fn kinds_go_by_the_object() {
    let kind = |object: &str| {
        let body = BODY.replace(
            "\"object\": \"invoice\"",
            &format!("\"object\": \"{object}\""),
        );
        genuine(&body).unwrap().kind
    };
    assert_eq!(kind("checkout.session"), EventKind::Purchase);
    assert_eq!(kind("subscription"), EventKind::Subscription);
    assert_eq!(kind("payment_intent"), EventKind::Payment);
    assert_eq!(kind("charge"), EventKind::Charge);
    assert_eq!(kind("refund"), EventKind::Refund);
    assert_eq!(kind("dispute"), EventKind::Dispute);
    assert_eq!(kind("payout"), EventKind::Other);
    assert_eq!(kind(""), EventKind::Other);
}

#[test]
fn objects_that_cannot_be_fetched_are_others() {
    for id in ["null", "\"\"", "\"in_1/../x\""] {
        let body = BODY.replace("\"in_1\"", id);
        let event = genuine(&body).unwrap();
        assert_eq!((event.kind, event.object), (EventKind::Other, None), "{id}");
    }
    let forecast = BODY.replace("\"id\": \"in_1\", ", "");
    assert_eq!(genuine(&forecast).unwrap().kind, EventKind::Other);
}

#[test]
fn events_of_another_mode_are_refused() {
    let live = BODY.replace("\"livemode\": false", "\"livemode\": true");
    assert_eq!(genuine(&live), Err(WebhookError::Mode));
    let key_is_live = Verifier::new(vec![Secret::new(NEW)], true);
    let test = key_is_live.verify(BODY.as_bytes(), &header(NEW, AT, BODY), now());
    assert_eq!(test, Err(WebhookError::Mode));
    assert!(
        key_is_live
            .verify(live.as_bytes(), &header(NEW, AT, &live), now())
            .is_ok()
    );
}

proptest! {
    #[test]
    fn any_changed_bit_of_the_body_is_noticed(at in 0..BODY.len(), bit in 0..8_u32) {
        let mut body = BODY.as_bytes().to_vec();
        body[at] ^= 1 << bit;
        let refused = verifier(&[NEW, OLD]).verify(&body, &header(NEW, AT, BODY), now());
        prop_assert_eq!(refused, Err(WebhookError::Signature));
    }

    #[test]
    fn any_changed_bit_of_the_header_is_noticed(at in 0..80_usize, bit in 0..7_u32) {
        let good = header(NEW, AT, BODY);
        prop_assert_eq!(good.len(), 80);
        let mut changed = good.clone().into_bytes();
        changed[at] ^= 1 << bit;
        let changed = String::from_utf8(changed).unwrap();
        // Hexadecimal digits may be upper case: that is the same signature.
        prop_assume!(!changed.eq_ignore_ascii_case(&good) || changed[..16] != good[..16]);
        prop_assert!(verify(&changed, BODY).is_err());
    }

    #[test]
    fn a_truncated_body_or_header_is_refused(cut in 1..80_usize) {
        let good = header(NEW, AT, BODY);
        prop_assert!(verify(&good[..good.len() - cut], BODY).is_err());
        let body = &BODY[..BODY.len() - cut];
        prop_assert_eq!(verify(&good, body), Err(WebhookError::Signature));
    }

    #[test]
    fn whatever_is_sent_is_answered(header in ".{0,200}", body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verifier(&[NEW]).verify(&body, &header, now()).is_err());
    }

    #[test]
    fn whatever_is_signed_is_answered(body in ".{0,300}") {
        prop_assert!(genuine(&body).is_err());
    }
}
