//! Every hop between services shows who calls, as programs on their own see it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use kinora_integration_tests::SeparateProcesses;
use kinora_mesh::channel::connect_lazy;
use kinora_mesh::error::PublicError;
use prost::Message;
use prost_types::FileDescriptorSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

/// The paths of all methods of a service's own contract, health aside.
fn methods_of(service: &str) -> Vec<String> {
    let set = FileDescriptorSet::decode(kinora_proto::DESCRIPTORS).unwrap();
    let package = format!("kinora.{service}.v1");
    let files = set
        .file
        .into_iter()
        .filter(|file| file.package() == package);
    let services = files.flat_map(|file| file.service);
    services
        .flat_map(|service| {
            let name = service.name().to_owned();
            let methods = service.method.into_iter();
            methods.map(move |method| (name.clone(), method.name().to_owned()))
        })
        .map(|(service, method)| format!("/{package}.{service}/{method}"))
        .collect()
}

async fn call(channel: Channel, path: &str) -> Status {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    let answered = client
        .unary::<(), (), _>(Request::new(()), path, ProstCodec::default())
        .await;
    answered.expect_err("a stranger is answered nothing")
}

fn channel(address: SocketAddr, service: &str, caller: &str) -> Channel {
    let identity = kinora_testkit::identity::identity(caller);
    connect_lazy(&format!("https://{address}"), &identity, service).unwrap()
}

/// Speaks HTTP/2 without TLS; answers what comes back before the other end hangs up.
async fn speak_plainly(address: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(preface).await.unwrap();
    let mut answer = Vec::new();
    // Being cut off is an answer, too.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_service_with_the_wrong_name_is_refused_on_every_method() {
    let mesh = SeparateProcesses::start().await;
    mesh.wait_serving().await;
    for (service, address) in mesh.grpc_addresses() {
        let methods = methods_of(service);
        assert!(methods.len() > 5, "{methods:?}");
        let stranger = channel(address, service, "stranger");
        for method in methods {
            let status = call(stranger.clone(), &method).await;
            let error = PublicError::from_status(&status);
            assert_eq!(
                status.code(),
                Code::PermissionDenied,
                "{method}: {status:?}"
            );
            assert_eq!(error.reason, "WORKLOAD_REFUSED", "{method}: {status:?}");
        }
    }
}

#[tokio::test]
async fn plaintext_gets_no_answer_of_any_service() {
    let mesh = SeparateProcesses::start().await;
    mesh.wait_serving().await;
    for (service, address) in mesh.grpc_addresses() {
        let known = call(
            channel(address, service, "edge"),
            "/kinora.none.v1.None/None",
        )
        .await;
        assert_eq!(known.code(), Code::Unimplemented, "it serves: {known:?}");
        let answer = speak_plainly(address).await;
        // At most a TLS alert; never a frame of HTTP/2.
        assert!(
            answer.first().is_none_or(|kind| *kind == 21),
            "{service}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_caller_refuses_a_service_that_is_another_than_it_wants() {
    let mesh = SeparateProcesses::start().await;
    mesh.wait_serving().await;
    let [accounts, billing, prompts, scheduler] = mesh.grpc_addresses();
    for ((wanted, _), (other, address)) in [
        (accounts, scheduler),
        (billing, accounts),
        (prompts, billing),
        (scheduler, prompts),
    ] {
        let path = &methods_of(wanted)[0];
        let served = call(channel(address, other, "edge"), path).await;
        assert_eq!(served.code(), Code::Unimplemented, "it serves: {served:?}");
        let status = call(channel(address, wanted, "edge"), path).await;
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
}
