//! Who is let in, and whom a caller talks to.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kinora_mesh::channel;
use kinora_mesh::identity::{Identity, IdentityFiles};
use kinora_mesh::workload::Workload;
use kinora_testkit::identity::TestAuthority;
use kinora_testkit::wait::until;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

use crate::echo::{EchoStream, PATIENCE, Server};
use crate::raw::{self, Shown};

struct Mesh {
    authority: TestAuthority,
    server: Server,
}

async fn mesh() -> Mesh {
    let authority = TestAuthority::new();
    let server = Server::start(&authority.identity("scheduler")).await;
    Mesh { authority, server }
}

/// An identity from files as they are.
fn identity(mesh: &Mesh, name: &str, files: &IdentityFiles) -> Identity {
    let folder = mesh.authority.folder(name);
    files.write(&folder).unwrap();
    Identity::of_folder(&folder).unwrap()
}

#[tokio::test]
async fn a_service_sees_which_service_calls() {
    let mesh = mesh().await;
    for service in ["edge", "worker", "scheduler"] {
        let caller = mesh.authority.identity(service);
        let seen = mesh.server.call(&caller).await.unwrap();
        assert_eq!(seen, TestAuthority::workload(service).to_string());
    }
}

#[tokio::test]
async fn both_schemes_are_encrypted_and_health_is_served() {
    let mesh = mesh().await;
    let edge = mesh.authority.identity("edge");
    for scheme in ["http", "https"] {
        let endpoint = format!("{scheme}://{}", mesh.server.address());
        let channel = channel::connect_lazy_for_streams(&endpoint, &edge, "scheduler").unwrap();
        let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
        let asked = tonic_health::pb::HealthCheckRequest::default();
        let answer = health.check(asked).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "serving");
    }
}

#[tokio::test]
async fn plaintext_is_refused() {
    let mesh = mesh().await;
    let plain = Endpoint::from_shared(format!("http://{}", mesh.server.address())).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the caller that must be refused")]
    let plain = plain.connect_lazy();
    let opened = EchoStream::open(plain).await.map(|_| String::new());
    mesh.server.check_refused(opened);
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let mesh = mesh().await;
    let seen = raw::connect(mesh.server.address(), Shown::Nothing, &TLS13).await;
    let error = seen.answer.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    assert!(!seen.certificate.is_empty());
}

#[tokio::test]
async fn older_tls_is_refused() {
    let mesh = mesh().await;
    let edge = mesh.authority.sign(&TestAuthority::workload("edge"));
    let shown = || Shown::Certificate(&edge.certificates, &edge.key);
    let old = raw::connect(mesh.server.address(), shown(), &TLS12).await;
    let error = old.answer.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    let new = raw::connect(mesh.server.address(), shown(), &TLS13).await;
    assert!(new.answer.unwrap() > 0);
}

#[tokio::test]
async fn a_caller_of_another_authority_is_refused() {
    let mesh = mesh().await;
    let other = TestAuthority::new();
    let mut files = other.sign(&TestAuthority::workload("edge"));
    // It trusts the server, so that only the server can object.
    files.authorities.push_str(mesh.authority.certificate());
    let stranger = identity(&mesh, "stranger", &files);
    let problem = mesh.server.check_refused(mesh.server.call(&stranger).await);
    assert!(problem.contains("UnknownCA"), "{problem}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let mesh = mesh().await;
    let other = TestAuthority::new();
    let stranger = other.identity("edge");
    let problem = mesh.server.check_refused(mesh.server.call(&stranger).await);
    assert!(problem.contains("UnknownIssuer"), "{problem}");
}

#[tokio::test]
async fn callers_of_another_trust_domain_or_namespace_are_refused() {
    let mesh = mesh().await;
    let own = TestAuthority::workload("edge");
    let elsewhere = [
        Workload {
            trust_domain: "other.kinora.local".to_owned(),
            ..own.clone()
        },
        Workload {
            namespace: "other".to_owned(),
            ..own.clone()
        },
    ];
    for (index, workload) in elsewhere.iter().enumerate() {
        let files = mesh.authority.sign(workload);
        // Its own channels would not talk to a server of this mesh, so that it uses none.
        let shown = Shown::Certificate(&files.certificates, &files.key);
        let seen = raw::connect(mesh.server.address(), shown, &TLS13).await;
        let error = seen.answer.unwrap_err();
        assert!(
            error.to_string().contains("received fatal alert"),
            "{error}"
        );
        let caller = identity(&mesh, &index.to_string(), &files);
        let problem = mesh.server.check_refused(mesh.server.call(&caller).await);
        assert!(problem.contains("the peer is"), "{problem}");
    }
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_refused() {
    let mesh = mesh().await;
    let workload = TestAuthority::workload("edge");
    let files = mesh.authority.sign_for(&workload, Duration::from_secs(4));
    let edge = identity(&mesh, "edge", &files);
    mesh.server.call(&edge).await.unwrap();
    until(
        "the end of the certificate",
        PATIENCE,
        async || match mesh.server.call(&edge).await {
            Ok(_) => Err("it is still taken"),
            Err(_) => Ok(()),
        },
    )
    .await;
    let loaded = Identity::of_folder(&mesh.authority.folder("edge"));
    let error = kinora_mesh::error::chain(&loaded.unwrap_err());
    assert!(error.contains("tls.crt is valid from"), "{error}");
}

#[tokio::test]
async fn certificates_that_do_not_name_one_service_are_refused() {
    let (authority, key, pem) = own_authority();
    let folder = tempfile::tempdir().unwrap();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let edge = uri("spiffe://test.kinora.local/ns/default/sa/edge");
    let issuer = Issuer::from_params(&authority, &key);
    let sign = |names: Vec<SanType>| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let signed = params.signed_by(&key, &issuer).unwrap();
        IdentityFiles {
            certificates: signed.pem(),
            key: key.serialize_pem(),
            authorities: pem.clone(),
        }
    };
    let server = folder.path().join("scheduler");
    let scheduler = uri("spiffe://test.kinora.local/ns/default/sa/scheduler");
    sign(vec![scheduler]).write(&server).unwrap();
    let server = Server::start(&Identity::of_folder(&server).unwrap()).await;
    let dns = SanType::DnsName("scheduler".try_into().unwrap());
    let cases = [
        (vec![], "has 0"),
        (vec![dns.clone()], "has 0"),
        (vec![edge.clone(), edge.clone()], "has 2"),
        (vec![uri("https://edge")], "https://edge"),
    ];
    for (names, expected) in cases {
        let files = sign(names);
        let shown = Shown::Certificate(&files.certificates, &files.key);
        let seen = raw::connect(server.address(), shown, &TLS13).await;
        let error = seen.answer.unwrap_err().to_string();
        assert!(error.contains("received fatal alert"), "{error}");
        let path = folder.path().join("caller");
        files.write(&path).unwrap();
        let error = Identity::of_folder(&path).unwrap_err();
        let error = kinora_mesh::error::chain(&error);
        assert!(
            error.contains("tls.crt") && error.contains(expected),
            "{error}"
        );
    }
    let good = sign(vec![dns, edge]);
    let shown = Shown::Certificate(&good.certificates, &good.key);
    let seen = raw::connect(server.address(), shown, &TLS13).await;
    assert!(seen.answer.unwrap() > 0, "a name of another kind beside it");
}

#[tokio::test]
async fn a_caller_talks_to_no_other_service_than_the_one_it_names() {
    let mesh = mesh().await;
    let edge = mesh.authority.identity("edge");
    let channel = channel::connect_lazy(&mesh.server.endpoint, &edge, "accounts").unwrap();
    let opened = EchoStream::open(channel).await.map(|_| String::new());
    let problem = mesh.server.check_refused(opened);
    let [is, expected] = ["scheduler", "accounts"].map(TestAuthority::workload);
    assert!(
        problem.contains(&format!("the peer is {is}, expected {expected}")),
        "{problem}"
    );
}

#[tokio::test]
async fn silent_and_plain_callers_hold_nobody_up_and_are_cut_off() {
    let mesh = mesh().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(mesh.server.address()).await.unwrap());
    }
    let mut plain = TcpStream::connect(mesh.server.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    // One after the other, they would take minutes.
    let edge = mesh.authority.identity("edge");
    mesh.server.call(&edge).await.unwrap();
    assert_eq!(mesh.server.calls.load(Ordering::SeqCst), 1);
    silent.push(plain);
    for mut stream in silent {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        // A reset is an end as well.
        let _ = ended.expect("is cut off");
    }
}

fn own_authority() -> (CertificateParams, KeyPair, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (params, key, pem)
}
