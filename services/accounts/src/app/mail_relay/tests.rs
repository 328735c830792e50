use std::path::Path;

use kinora_mesh::secret::Secret;
use kinora_store::on_both_databases;
use kinora_testkit::net::loopback_listener;
use kinora_testkit::smtp::{Security, TestSmtp};
use kinora_testkit::wait::until;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::app::testing::people::somewhere;
use crate::app::testing::{TestApp, code_in};
use crate::config::MailOptions;
use crate::store::outbox::Mail;

const PATIENCE: Duration = Duration::from_secs(30);

fn by_smtp(url: String, ca_file: &Path) -> Arc<Carrier> {
    let options = MailOptions {
        smtp_url: Some(Secret::new(url)),
        smtp_ca_file: Some(ca_file.to_owned()),
        from: Some("no-reply@kinora.example".to_owned()),
        folder: None,
    };
    Arc::new(Carrier::new(&options).unwrap())
}

fn to(server: &TestSmtp) -> Arc<Carrier> {
    by_smtp(server.url(), &server.ca_file())
}

async fn enqueue(test: &TestApp, recipient: &str) {
    let mail = Mail {
        recipient: recipient.to_owned(),
        subject: "Hello".to_owned(),
        body: "Hello.\n".to_owned(),
    };
    let tx = test.app.store.begin().await.unwrap();
    outbox::enqueue(&tx, mail, test.app.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Tries all that is due once, and answers how many there were.
async fn send_due(test: &TestApp, carrier: &Carrier) -> usize {
    let mails = test.app.claim_mails(100).await.unwrap();
    let due = mails.len();
    for mail in mails {
        test.app.send(carrier, mail, PATIENCE).await.unwrap();
    }
    due
}

fn relay(test: &TestApp, carrier: &Arc<Carrier>, pace: Pace) -> JoinHandle<()> {
    let (app, carrier) = (Arc::clone(&test.app), Arc::clone(carrier));
    tokio::spawn(async move { run(app, carrier, pace, &CancellationToken::new()).await })
}

fn quick() -> Pace {
    Pace {
        poll: Duration::from_millis(10),
        ..Pace::default()
    }
}

async fn until_all_are_sent(test: &TestApp) {
    until("an empty outbox", PATIENCE, || async {
        let left = test.mails().await.len();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
}

fn recipients(server: &TestSmtp) -> Vec<String> {
    let to = |mail: &String| {
        let line = mail.lines().find_map(|line| line.strip_prefix("Test-To: "));
        line.expect("a recipient").to_owned()
    };
    let mut recipients: Vec<String> = server.mails().iter().map(to).collect();
    recipients.sort();
    recipients
}

/// Keeps its first `hanging` connections and says nothing; hands the others on to `port`. Tells of each that it keeps.
fn hang_first(
    listener: TcpListener,
    hanging: usize,
    port: u16,
) -> (JoinHandle<()>, mpsc::UnboundedReceiver<()>) {
    let (kept_one, told) = mpsc::unbounded_channel();
    let accepting = async move {
        let mut kept = Vec::new();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            if kept.len() < hanging {
                kept.push(client);
                kept_one.send(()).unwrap();
                continue;
            }
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                // Either end may break off.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    };
    (tokio::spawn(accepting), told)
}

on_both_databases! {
    async fn sign_up_ends_with_the_code_of_a_mail_that_a_server_took(url: DatabaseUrl) {
        let server = TestSmtp::start(Security::StartTls).await;
        let test = TestApp::on(&url).await;
        let password = "a password of nobody else";
        test.app.sign_up("ada@example.org", password, "Ada", &somewhere()).await.unwrap();
        let relay = relay(&test, &to(&server), quick());
        until_all_are_sent(&test).await;
        let mails = server.mails();
        assert_eq!(mails.len(), 1);
        let verified = test.app.verify_email(&code_in(&mails[0]), password, &somewhere()).await.unwrap();
        assert_eq!(verified.user.email, "ada@example.org");
        relay.abort();
    }

    async fn relays_at_once_send_each_mail_once(url: DatabaseUrl) {
        let server = TestSmtp::start(Security::Tls).await;
        let (one, other) = (TestApp::on(&url).await, TestApp::on(&url).await);
        let mut all = Vec::new();
        for number in 10..40 {
            let recipient = format!("person-{number}@example.org");
            enqueue(&one, &recipient).await;
            all.push(recipient);
        }
        let carrier = to(&server);
        let relays = [&one, &other].map(|test| relay(test, &carrier, quick()));
        until_all_are_sent(&one).await;
        assert_eq!(recipients(&server), all);
        for relay in relays {
            relay.abort();
        }
    }

    async fn what_is_refused_for_good_is_dropped_and_what_is_put_off_is_tried_again(url: DatabaseUrl) {
        let server = TestSmtp::start(Security::Tls).await;
        let test = TestApp::on(&url).await;
        let carrier = to(&server);
        for recipient in ["nobody-1@example.org", "busy-1@example.org", "ada@example.org", "no address"] {
            enqueue(&test, recipient).await;
        }
        assert_eq!(send_due(&test, &carrier).await, 4);
        let left = test.mails().await;
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].recipient.as_str(), left[0].attempts), ("busy-1@example.org", 1));
        assert_eq!(send_due(&test, &carrier).await, 0, "it rests first");
        test.clock.advance(FIRST_DELAY * 2);
        assert_eq!(send_due(&test, &carrier).await, 1);
        assert_eq!(test.mails().await.len(), 0);
        assert_eq!(recipients(&server), ["ada@example.org", "busy-1@example.org"]);
    }

    async fn mail_waits_until_the_servers_certificate_is_right(url: DatabaseUrl) {
        let (server, other) =
            tokio::join!(TestSmtp::start(Security::Tls), TestSmtp::start(Security::Tls));
        let test = TestApp::on(&url).await;
        enqueue(&test, "ada@example.org").await;
        send_due(&test, &by_smtp(server.url(), &other.ca_file())).await;
        assert_eq!((test.mails().await.len(), server.mails().len()), (1, 0));
        test.clock.advance(FIRST_DELAY * 2);
        send_due(&test, &to(&server)).await;
        assert_eq!((test.mails().await.len(), server.mails().len()), (0, 1));
    }

    async fn failures_are_tried_again_later_and_later_for_a_day(url: DatabaseUrl) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("mails");
        let carrier = Carrier::new(&MailOptions::to_folder(&folder)).unwrap();
        std::fs::remove_dir(&folder).unwrap();
        let test = TestApp::on(&url).await;
        enqueue(&test, "ada@example.org").await;
        let (start, mut rests, mut tries) = (test.app.now(), Vec::new(), 0);
        loop {
            assert_eq!(send_due(&test, &carrier).await, 1);
            tries += 1;
            let mails = test.mails().await;
            let Some(mail) = mails.first() else { break };
            assert_eq!(mail.attempts, tries);
            let rest = mail.next_attempt_time - test.app.now();
            rests.push(rest);
            test.clock.advance(rest);
        }
        let lasted = test.app.now() - start;
        assert!(lasted < TimeDelta::hours(24) && lasted > TimeDelta::hours(23), "{lasted}");
        assert!(rests[0] <= FIRST_DELAY * 5 / 4 && rests[0] >= FIRST_DELAY * 3 / 4);
        assert!(rests.iter().all(|rest| *rest <= LONGEST_DELAY * 5 / 4));
        assert!(tries > 100, "{tries}");
    }

    async fn relay_that_dies_leaves_no_mail_unsent(url: DatabaseUrl) {
        let server = TestSmtp::start(Security::Tls).await;
        let test = TestApp::on(&url).await;
        let carrier = to(&server);
        for recipient in ["ada@example.org", "ben@example.org"] {
            enqueue(&test, recipient).await;
        }
        // One dies before the sending, the other after it and before the row is gone.
        let claimed = test.app.claim_mails(10).await.unwrap();
        assert_eq!(claimed.len(), 2);
        carrier.carry(&claimed[1], test.app.now()).await.unwrap();
        assert_eq!(send_due(&test, &carrier).await, 0, "the claim holds");
        test.clock.advance(CLAIM);
        assert_eq!(send_due(&test, &carrier).await, 2);
        assert_eq!(test.mails().await.len(), 0);
        let sent = ["ada@example.org", "ben@example.org", "ben@example.org"];
        assert_eq!(recipients(&server), sent);
        let ids: Vec<String> = server
            .mails()
            .iter()
            .filter(|mail| mail.contains("Test-To: ben"))
            .filter_map(|mail| mail.lines().find(|line| line.starts_with("Message-ID")).map(str::to_owned))
            .collect();
        assert_eq!((ids.len(), &ids[0]), (2, &ids[1]), "who gets it twice can tell");
    }

    async fn late_answer_of_a_claim_that_ran_out_changes_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        enqueue(&test, "ada@example.org").await;
        let late = test.app.claim_mails(1).await.unwrap().remove(0);
        test.clock.advance(CLAIM);
        let claimed = test.app.claim_mails(1).await.unwrap().remove(0);
        let tx = test.app.store.begin().await.unwrap();
        outbox::put_off(&tx, &late, test.app.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(test.mails().await[0].next_attempt_time, claimed.next_attempt_time);
    }

    async fn server_that_hangs_delays_other_mails_by_a_patience_only(url: DatabaseUrl) {
        let server = TestSmtp::start(Security::Tls).await;
        let listener = loopback_listener().await;
        let port = listener.local_addr().unwrap().port();
        let (hanging, _told) = hang_first(listener, 2, server.port());
        let test = TestApp::on(&url).await;
        for number in 0..6 {
            enqueue(&test, &format!("person-{number}@example.org")).await;
        }
        let pace = Pace { at_once: 2, patience: Duration::from_secs(8), ..quick() };
        let carrier = by_smtp(server.url_by("localhost", port), &server.ca_file());
        let relay = relay(&test, &carrier, pace);
        until("the other mails", PATIENCE * 2, || async {
            let there = server.mails().len();
            if there == 4 { Ok(()) } else { Err(there) }
        })
        .await;
        until("the delay of those that hung", PATIENCE, || async {
            let left = test.mails().await;
            let rest = left.iter().all(|mail| mail.next_attempt_time < test.app.now() + CLAIM);
            if left.len() == 2 && rest { Ok(()) } else { Err(left.len()) }
        })
        .await;
        test.clock.advance(FIRST_DELAY * 2);
        until_all_are_sent(&test).await;
        assert_eq!(recipients(&server).len(), 6);
        relay.abort();
        hanging.abort();
    }

    async fn no_call_waits_for_a_server_that_hangs(url: DatabaseUrl) {
        let listener = loopback_listener().await;
        let address = format!("smtps://localhost:{}", listener.local_addr().unwrap().port());
        let (hanging, mut told) = hang_first(listener, 2, 0);
        let ca = TestSmtp::start(Security::Tls).await;
        let test = TestApp::on(&url).await;
        let pace = Pace { patience: Duration::from_secs(3600), at_once: 1, ..quick() };
        let relay = relay(&test, &by_smtp(address, &ca.ca_file()), pace);
        let password = "a password of nobody else";
        test.app.sign_up("ada@example.org", password, "Ada", &somewhere()).await.unwrap();
        told.recv().await.expect("the relay is stuck with the mail");
        test.app.sign_up("ben@example.org", password, "Ben", &somewhere()).await.unwrap();
        assert_eq!(test.mails().await.len(), 2);
        relay.abort();
        hanging.abort();
    }
}

#[test]
fn delays_double_up_to_the_longest_and_are_spread() {
    let seconds = |attempts| delay(attempts, 0.0).num_seconds();
    let delays: Vec<i64> = (1..=9).map(seconds).collect();
    assert_eq!(delays, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
    assert_eq!(delay(i32::MAX, 0.25), LONGEST_DELAY * 5 / 4);
    assert_eq!(delay(i32::MIN, -0.2), TimeDelta::seconds(4));
}
