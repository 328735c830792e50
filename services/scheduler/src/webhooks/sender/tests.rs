use std::io;
use std::net::IpAddr;

use futures::future::BoxFuture;
use kinora_testkit::receiver::{Answer, Receiver};
use parking_lot::Mutex;

use super::*;
use crate::webhooks::fixtures::now;
use crate::webhooks::secret::Secret;

const LENIENT: TargetRules = TargetRules {
    allows_http: true,
    allows_private: true,
};

const GUARDED: TargetRules = TargetRules {
    allows_private: false,
    ..LENIENT
};

/// A name server that answers by a script; its last answer stays.
struct Script(Mutex<Vec<Vec<IpAddr>>>);

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |text: &&str| text.parse().expect("an address");
        let answers = answers.iter().rev();
        let answers = answers.map(|answer| answer.iter().map(parse).collect());
        Arc::new(Self(Mutex::new(answers.collect())))
    }
}

impl LookUp for Script {
    fn look_up<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let mut answers = self.0.lock();
        let answer = match answers.len() {
            0 => Err(io::Error::other("no such name")),
            1 => Ok(answers[0].clone()),
            _ => Ok(answers.pop().unwrap_or_default()),
        };
        Box::pin(async move { answer })
    }
}

fn secrets() -> Secrets {
    Secrets {
        present: Secret::generate(),
        former: None,
    }
}

async fn send(rules: TargetRules, look_up: Arc<Script>, url: &str) -> Outcome {
    let patience = Patience {
        connect: Duration::from_millis(500),
        total: Duration::from_millis(1500),
    };
    let sender = Sender::new(rules, patience, look_up).expect("a client");
    let letter = Letter {
        url,
        secrets: &secrets(),
        id: "msg_1",
        body: "{}",
    };
    sender.send(letter, now()).await
}

async fn answered(answer: Answer) -> (Outcome, usize) {
    let receiver = Receiver::start(move |_, _| answer.clone()).await;
    let outcome = send(LENIENT, Script::new(&[]), &receiver.url("/hook")).await;
    (outcome, receiver.seen().len())
}

fn why(outcome: &Outcome) -> (Option<u16>, &'static str) {
    match outcome {
        Outcome::Failed(failed) => (failed.status, failed.error),
        other => panic!("expected a failure: {other:?}"),
    }
}

#[tokio::test]
async fn message_carries_the_headers_of_the_specification() {
    let receiver = Receiver::start(|_, _| Answer::status(204)).await;
    let sender = Sender::new(LENIENT, patience(), Script::new(&[])).expect("a client");
    let secrets = Secrets {
        present: Secret::generate(),
        former: Some(Secret::generate()),
    };
    let url = receiver.url("/hook?a=b");
    let letter = Letter {
        url: &url,
        secrets: &secrets,
        id: "msg_7",
        body: r#"{"type":"x"}"#,
    };
    let outcome = sender.send(letter, now()).await;
    assert_eq!(outcome, Outcome::Delivered { status: 204 });
    let [seen] = &receiver.seen()[..] else {
        panic!("one request: {:?}", receiver.seen());
    };
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/hook?a=b")
    );
    assert_eq!(seen.body, letter.body);
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("webhook-id"), "msg_7");
    assert_eq!(seen.header("webhook-timestamp"), "1800000000");
    let expected = secrets.sign("msg_7", 1_800_000_000, letter.body);
    assert_eq!(seen.header("webhook-signature"), expected);
    assert_eq!(expected.split(' ').count(), 2);
}

fn patience() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        total: Duration::from_secs(15),
    }
}

#[tokio::test]
async fn statuses_are_told_apart() {
    for status in [200, 201, 204, 299] {
        assert_eq!(
            answered(Answer::status(status)).await.0,
            Outcome::Delivered { status }
        );
    }
    assert_eq!(answered(Answer::status(410)).await.0, Outcome::Gone);
    for status in [304, 400, 401, 404, 500, 502, 600] {
        assert_eq!(
            why(&answered(Answer::status(status)).await.0).0,
            Some(status)
        );
    }
}

#[tokio::test]
async fn redirect_inside_is_not_followed() {
    let inside = Receiver::start(|_, _| Answer::status(200)).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}", inside.url("/secret"));
        let (outcome, seen) = answered(Answer::Status(status, vec![location])).await;
        assert_eq!(
            why(&outcome),
            (
                Some(status),
                "answered with a redirect, which is not followed"
            )
        );
        assert_eq!(seen, 1);
    }
    assert_eq!(inside.seen(), []);
}

#[tokio::test]
async fn wish_to_wait_is_read_in_both_forms() {
    for (status, value, expected) in [
        (429, "120", Some(120)),
        (503, "7", Some(7)),
        (503, "Fri, 15 Jan 2027 08:01:00 GMT", Some(59)),
        (429, "Fri, 15 Jan 2021 08:01:00 GMT", None),
        (429, "soon", None),
        (429, "-1", None),
        (500, "120", None),
    ] {
        let header = format!("Retry-After: {value}");
        let (outcome, _) = answered(Answer::Status(status, vec![header])).await;
        let Outcome::Failed(failed) = outcome else {
            panic!("expected a failure: {outcome:?}");
        };
        let wish = failed.retry_after.map(|wish| wish.as_secs());
        assert_eq!(wish, expected, "{status} {value}");
    }
}

#[tokio::test]
async fn hostile_answers_end_in_time() {
    for answer in [
        Answer::Hang,
        Answer::Close,
        Answer::Noise,
        Answer::EndlessHead,
    ] {
        let (outcome, seen) = answered(answer.clone()).await;
        assert_eq!(why(&outcome).0, None, "{answer:?}");
        assert!(seen >= 1, "{answer:?}");
    }
    // Not read to their end.
    for answer in [Answer::EndlessBody, Answer::HalfBody] {
        let (outcome, _) = answered(answer.clone()).await;
        assert_eq!(outcome, Outcome::Delivered { status: 200 }, "{answer:?}");
    }
}

#[tokio::test]
async fn address_inside_is_not_connected_to() {
    let receiver = Receiver::start(|_, _| Answer::status(200)).await;
    let port = receiver.address().port();
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost"] {
        let url = format!("http://{host}:{port}/");
        let outcome = send(GUARDED, Script::new(&[&["127.0.0.1"]]), &url).await;
        assert_eq!(why(&outcome), (None, "the URL is not allowed"), "{host}");
    }
    let url = format!("http://hooks.example.com:{port}/");
    for answer in [
        &["127.0.0.1"][..],
        &["8.8.8.8", "127.0.0.1"],
        &["::ffff:127.0.0.1"],
    ] {
        let outcome = send(GUARDED, Script::new(&[answer]), &url).await;
        let expected = (None, "the host has an address that is not allowed");
        assert_eq!(why(&outcome), expected, "{answer:?}");
    }
    assert_eq!(receiver.seen(), []);
}

#[tokio::test]
async fn connection_goes_to_the_address_that_was_checked() {
    let receiver = Receiver::start(|_, _| Answer::status(200)).await;
    let script = Script::new(&[&["127.0.0.1"], &["192.0.2.1"]]);
    let url = format!("http://hooks.example.com:{}/", receiver.address().port());
    let outcome = send(LENIENT, Arc::clone(&script), &url).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
    assert_eq!(receiver.seen()[0].header("host"), &url[7..url.len() - 1]);
    assert_eq!(
        script.0.lock().len(),
        1,
        "the name is looked up once a connection"
    );
}

#[tokio::test]
async fn unknown_name_and_closed_port_are_told_apart() {
    let outcome = send(LENIENT, Script::new(&[]), "http://hooks.example.com/").await;
    assert_eq!(
        why(&outcome),
        (None, "the host's name could not be looked up")
    );
    let outcome = send(LENIENT, Script::new(&[&[]]), "http://hooks.example.com/").await;
    assert_eq!(
        why(&outcome),
        (None, "the host's name could not be looked up")
    );
    let receiver = Receiver::start(|_, _| Answer::Close).await;
    let url = receiver.url("/");
    let listener = kinora_testkit::net::loopback_listener().await;
    let closed = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let outcome = send(LENIENT, Script::new(&[]), &closed).await;
    assert_eq!(why(&outcome), (None, "could not be connected to"));
    let outcome = send(LENIENT, Script::new(&[]), &url).await;
    assert_eq!(why(&outcome), (None, "broke the connection off"));
}

#[tokio::test]
async fn plain_http_is_not_sent_unless_allowed() {
    let receiver = Receiver::start(|_, _| Answer::status(200)).await;
    let rules = TargetRules {
        allows_http: false,
        ..LENIENT
    };
    let outcome = send(rules, Script::new(&[]), &receiver.url("/")).await;
    assert_eq!(why(&outcome), (None, "the URL is not allowed"));
    assert_eq!(receiver.seen(), []);
}
