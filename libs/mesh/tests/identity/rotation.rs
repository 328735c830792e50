//! New certificates while services talk.

use std::time::Duration;

use kinora_mesh::identity::Identity;
use kinora_testkit::identity::TestAuthority;
use kinora_testkit::wait::until;

use crate::echo::{EchoStream, PATIENCE, Server};
use crate::raw::certificate_of;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Asks over an open stream, and over a new connection, until `is_done`; every answer has to come.
async fn talk_until(
    what: &str,
    stream: &EchoStream,
    server: &Server,
    caller: &Identity,
    is_done: impl AsyncFn() -> bool,
) {
    until(what, PATIENCE, async || {
        stream.ask().await.expect("the open stream flows");
        server.call(caller).await.expect("a new connection");
        is_done().await.then_some(()).ok_or("not yet")
    })
    .await;
}

#[tokio::test]
async fn streams_flow_on_while_certificates_are_renewed() {
    let authority = TestAuthority::new();
    let scheduler = authority.identity("scheduler");
    let edge = authority.identity("edge");
    let server = Server::start(&scheduler).await;
    let stream = EchoStream::open(server.channel(&edge)).await.unwrap();
    let first = certificate_of(server.address()).await;
    let ends = edge.ends();
    for (service, days) in [("scheduler", 30), ("edge", 40)] {
        let workload = TestAuthority::workload(service);
        let files = authority.sign_for(&workload, days * DAY);
        files.write(&authority.folder(service)).unwrap();
    }
    talk_until("both renewed", &stream, &server, &edge, async || {
        certificate_of(server.address()).await != first && edge.ends() != ends
    })
    .await;
    assert!(scheduler.ends() < edge.ends());
    stream.ask().await.unwrap();
}

#[tokio::test]
async fn a_new_authority_takes_over_while_services_talk() {
    let (old, new) = (TestAuthority::new(), TestAuthority::new());
    let scheduler = old.identity("scheduler");
    let edge = old.identity("edge");
    let server = Server::start(&scheduler).await;
    let stream = EchoStream::open(server.channel(&edge)).await.unwrap();
    let both = format!("{}{}", old.certificate(), new.certificate());
    // Both are trusted; then the new one signs; then the old one is trusted no more. Ends tell the sets apart.
    let steps = [
        (&old, both.as_str(), 10),
        (&new, both.as_str(), 20),
        (&new, new.certificate(), 30),
    ];
    for (signer, authorities, days) in steps {
        let before = [scheduler.ends(), edge.ends()];
        for service in ["scheduler", "edge"] {
            let workload = TestAuthority::workload(service);
            let mut files = signer.sign_for(&workload, days * DAY);
            files.authorities = authorities.to_owned();
            files.write(&old.folder(service)).unwrap();
        }
        let is_done = async || scheduler.ends() != before[0] && edge.ends() != before[1];
        talk_until("a step", &stream, &server, &edge, is_done).await;
    }
    stream.ask().await.unwrap();
    // Who was not renewed is out, though it knows the new authority.
    let mut late = old.sign(&TestAuthority::workload("worker"));
    late.authorities = both;
    late.write(&old.folder("worker")).unwrap();
    let late = Identity::of_folder(&old.folder("worker")).unwrap();
    let status = server.call(&late).await.unwrap_err();
    let problem = kinora_mesh::error::chain(&status);
    assert!(problem.contains("UnknownCA"), "{problem}");
}
