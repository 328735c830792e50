//! Answers that are not Stripe's.

use std::time::{Duration, Instant};

use kinora_stripe_gateway::{Away, Error, Gateway, Metadata, Span};
use kinora_testkit::net::free_port;
use kinora_testkit::receiver::{Answer, Receiver};
use kinora_testkit::stripe::ApiFault;
use serde_json::{Value, json};

use crate::harness::{Harness, PAYER, START, id, money, options, time};

/// What a gateway makes of a server that answers every request like this.
async fn ask(answer: Answer) -> Error {
    let server = Receiver::start(move |_, _| answer.clone()).await;
    let mut options = options(server.url("/"));
    options.try_timeout = Duration::from_secs(1);
    options.retry.tries = 2;
    let gateway = Gateway::new(&options).expect("a gateway");
    let begun = Instant::now();
    let asked = gateway.ensure_customer(PAYER, &Metadata::new()).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    asked.expect_err("no customer")
}

#[tokio::test]
async fn servers_that_answer_badly_are_away() {
    for (answer, problem) in [
        (Answer::Close, Away::Broken),
        (Answer::Noise, Away::Broken),
        (Answer::Hang, Away::TimedOut),
        (Answer::HalfBody, Away::TimedOut),
    ] {
        let error = ask(answer.clone()).await;
        let Error::Away {
            tries,
            problem: found,
        } = error
        else {
            panic!("{answer:?}: {error:?}");
        };
        assert_eq!((tries, found), (2, problem), "{answer:?}");
    }
}

#[tokio::test]
async fn endless_answers_end() {
    let error = ask(Answer::EndlessHead).await;
    assert!(matches!(error, Error::Away { .. }), "{error:?}");
    let error = ask(Answer::EndlessBody).await;
    let is_cut = matches!(error, Error::Unreadable(_) | Error::Away { .. });
    assert!(is_cut, "{error:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let headers = vec!["location: http://127.0.0.1:1/".to_owned()];
    let error = ask(Answer::Status(302, headers)).await;
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_away() {
    let gateway = Gateway::new(&options(format!("http://127.0.0.1:{}/", free_port())));
    let asked = gateway.unwrap().fetch_charge(&id("ch_1")).await;
    let is_away = matches!(
        asked,
        Err(Error::Away {
            tries: 4,
            problem: Away::Unreachable
        })
    );
    assert!(is_away, "{asked:?}");
}

/// Bodies that are not what was asked for.
fn nonsense() -> Vec<String> {
    let mut bodies: Vec<String> = ["", "null", "[]", "{}", "{", "\"\\ud800\"", "1e999", "\u{0}"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    bodies.push("[".repeat(200_000));
    bodies.push("{\"id\":".repeat(200_000));
    bodies.push(format!("{{\"id\": \"{}\"}}", "a".repeat(1 << 20)));
    bodies.push(" ".repeat(9 << 20));
    bodies
}

#[tokio::test]
async fn nonsense_is_an_error_whatever_was_asked() {
    let harness = Harness::start().await;
    let payment = id("pi_1");
    for body in nonsense() {
        let say = |method| {
            let body = body.clone();
            let fault = ApiFault::Say { status: 200, body };
            harness.stripe.fail_next(method, fault);
        };
        let gateway = &harness.gateway;
        say("GET");
        check(gateway.fetch_purchase(&id("cs_1")).await, &body);
        say("GET");
        check(gateway.fetch_subscription(&id("sub_1")).await, &body);
        say("GET");
        check(gateway.fetch_invoice(&id("in_1")).await, &body);
        say("GET");
        check(gateway.fetch_payment(&payment).await, &body);
        say("GET");
        check(gateway.fetch_charge(&id("ch_1")).await, &body);
        say("GET");
        check(gateway.fetch_refund(&id("re_1")).await, &body);
        say("GET");
        check(gateway.fetch_dispute(&id("dp_1")).await, &body);
        say("GET");
        check(gateway.refund(&payment, &money(1), "key").await, &body);
        say("POST");
        check(
            gateway.ensure_customer(PAYER, &Metadata::new()).await,
            &body,
        );
    }
}

fn check<T: std::fmt::Debug>(asked: Result<T, Error>, body: &str) {
    assert!(
        matches!(asked, Err(Error::Unreadable(_))),
        "{body:.40}: {asked:?}"
    );
}

#[tokio::test]
async fn refusals_that_are_not_stripes_keep_their_status() {
    let harness = Harness::start().await;
    for body in nonsense() {
        let fault = ApiFault::Say { status: 402, body };
        harness.stripe.fail_next("POST", fault);
        let refused = harness
            .gateway
            .ensure_customer(PAYER, &Metadata::new())
            .await;
        let Err(Error::Refused(refusal)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((refusal.status, refusal.code), (402, None));
    }
}

/// An object without one of its fields, for each field.
fn without_each(object: &Value) -> Vec<(String, String)> {
    let names = object.as_object().expect("an object").keys();
    let without = |name: &String| {
        let mut object = object.clone();
        object.as_object_mut().expect("an object").remove(name);
        (name.clone(), object.to_string())
    };
    names.map(without).collect()
}

#[tokio::test]
async fn an_object_without_what_counts_is_an_error_and_never_a_guess() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let refund = harness
        .gateway
        .refund(&payment, &money(1), "key")
        .await
        .unwrap();
    let counts = ["id", "amount", "currency", "created", "status"];
    for (name, body) in without_each(&harness.stripe.object(refund.id.as_str())) {
        let fault = ApiFault::Say { status: 200, body };
        harness.stripe.fail_next("GET", fault);
        let read = harness.gateway.fetch_refund(&refund.id).await;
        let is_error = matches!(read, Err(Error::Unreadable(_)));
        assert_eq!(
            is_error,
            counts.contains(&name.as_str()),
            "{name}: {read:?}"
        );
    }
}

#[tokio::test]
async fn values_that_are_none_are_errors() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let good = harness.stripe.object(payment.as_str());
    for (name, value) in [
        ("id", json!("pi_1/../../v1/charges")),
        ("id", json!("")),
        ("amount", json!(-1)),
        ("amount", json!(9.99)),
        ("amount", json!("999")),
        ("amount", json!(u64::MAX)),
        ("amount_received", json!(-1)),
        ("created", json!(i64::MAX)),
        ("status", json!("paid_in_kind")),
        ("metadata", json!([])),
    ] {
        let mut bad = good.clone();
        bad[name] = value.clone();
        let body = bad.to_string();
        let fault = ApiFault::Say { status: 200, body };
        harness.stripe.fail_next("GET", fault);
        let read = harness.gateway.fetch_payment(&payment).await;
        assert!(
            matches!(read, Err(Error::Unreadable(_))),
            "{name}: {value}: {read:?}"
        );
    }
    for currency in [json!("gbp"), json!(""), json!("xxxx"), json!("US$")] {
        let mut bad = good.clone();
        bad["currency"] = currency.clone();
        let body = bad.to_string();
        let fault = ApiFault::Say { status: 200, body };
        harness.stripe.fail_next("GET", fault);
        let read = harness.gateway.fetch_payment(&payment).await;
        assert!(
            matches!(read, Err(Error::UnknownCurrency)),
            "{currency}: {read:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_of_more_than_eight_mebibytes_is_refused_however_good_it_is() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let good = harness.stripe.object(payment.as_str()).to_string();
    for (spaces, is_read) in [(7 << 20, true), (8 << 20, false)] {
        let body = format!("{good}{}", " ".repeat(spaces));
        let fault = ApiFault::Say { status: 200, body };
        harness.stripe.fail_next("GET", fault);
        let read = harness.gateway.fetch_payment(&payment).await;
        assert_eq!(read.is_ok(), is_read, "{spaces}: {read:?}");
    }
}

#[tokio::test]
async fn an_invoice_of_which_lines_are_missing_is_an_error() {
    let harness = Harness::start().await;
    let payment = harness.buy_pack().await;
    let invoice = harness.gateway.find_invoice(&payment).await.unwrap();
    let invoice = invoice.unwrap();
    let mut body = harness.stripe.object(invoice.as_str());
    body["payments"] = json!({"object": "list", "data": [], "has_more": false, "url": "/"});
    for has_more in [false, true] {
        body["lines"]["has_more"] = json!(has_more);
        let body = body.to_string();
        let fault = ApiFault::Say { status: 200, body };
        harness.stripe.fail_next("GET", fault);
        let read = harness.gateway.fetch_invoice(&invoice).await;
        assert_eq!(read.is_err(), has_more, "{read:?}");
    }
    let without_payments = harness.stripe.object(invoice.as_str()).to_string();
    let fault = ApiFault::Say {
        status: 200,
        body: without_payments,
    };
    harness.stripe.fail_next("GET", fault);
    let read = harness.gateway.fetch_invoice(&invoice).await;
    assert!(matches!(read, Err(Error::Unreadable(_))), "{read:?}");
}

#[tokio::test]
async fn an_invoice_of_a_subscription_names_it() {
    let harness = Harness::start().await;
    let (subscription, _) = harness.subscribe().await;
    let state = harness.gateway.fetch_subscription(&subscription).await;
    let invoice = state.unwrap().latest_invoice.unwrap();
    let mut body = harness.stripe.object(invoice.as_str());
    body["payments"] = json!({"object": "list", "data": [], "has_more": false, "url": "/"});
    // Such as the generated types make of a parent that they do not know.
    body["parent"] = Value::Null;
    let body = body.to_string();
    let fault = ApiFault::Say { status: 200, body };
    harness.stripe.fail_next("GET", fault);
    let read = harness.gateway.fetch_invoice(&invoice).await;
    assert!(matches!(read, Err(Error::Unreadable(_))), "{read:?}");
}

/// The content of an event is of no known shape, so it is read as it is; however deep, that takes no stack.
#[tokio::test]
async fn events_may_be_nested_however_deep() {
    let harness = Harness::start().await;
    let span = Span {
        from: time(START),
        until: time(START + 1),
    };
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let body = format!(
        r#"{{"object": "list", "url": "/v1/events", "has_more": false, "data": [{{"id": "evt_1",
        "object": "event", "created": {START}, "livemode": false, "pending_webhooks": 0,
        "type": "invoice.paid", "data": {{"object": {{"id": "in_1", "object": "invoice", "x": {deep}}}}}}}]}}"#
    );
    let fault = ApiFault::Say { status: 200, body };
    harness.stripe.fail_next("GET", fault);
    let read = harness.gateway.list_events(&span, None).await.unwrap();
    assert_eq!(read.items[0].object, Some(id("in_1")));
}
