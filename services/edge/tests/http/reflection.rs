//! What the edge tells of its contracts over gRPC.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use kinora_edge::UploadOptions;
use kinora_mesh::error::PublicError;
use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1alpha;
use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient as OldClient;

use crate::grpc::channel;
use crate::harness::TestEdge;

async fn telling() -> TestEdge {
    TestEdge::start_as(UploadOptions::default(), |options| {
        options.reflection = true
    })
    .await
}

fn asking(question: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    }
}

async fn ask(edge: &TestEdge, question: MessageRequest) -> Result<MessageResponse, Status> {
    let mut client = ServerReflectionClient::new(channel(edge));
    let requests = stream::iter([asking(question)]);
    let answers = client.server_reflection_info(requests).await?;
    let answer = answers.into_inner().next().await.expect("an answer")?;
    Ok(answer.message_response.expect("a message"))
}

async fn services(edge: &TestEdge) -> BTreeSet<String> {
    let listed = ask(edge, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed.unwrap() else {
        panic!("no list");
    };
    listed.service.into_iter().map(|it| it.name).collect()
}

async fn file(edge: &TestEdge, question: MessageRequest) -> FileDescriptorProto {
    let MessageResponse::FileDescriptorResponse(files) = ask(edge, question).await.unwrap() else {
        panic!("no file");
    };
    let file = files.file_descriptor_proto.first().expect("a file");
    FileDescriptorProto::decode(file.as_slice()).unwrap()
}

/// Everything that a client finds out, as grpcurl does: the files of all services, and those that they import.
async fn told(edge: &TestEdge) -> DescriptorPool {
    let mut files: Vec<FileDescriptorProto> = Vec::new();
    for service in services(edge).await {
        files.push(file(edge, MessageRequest::FileContainingSymbol(service)).await);
    }
    let mut index = 0;
    while let Some(imports) = files.get(index).map(|file| file.dependency.clone()) {
        for import in imports {
            if files.iter().all(|file| file.name() != import) {
                files.push(file(edge, MessageRequest::FileByFilename(import)).await);
            }
        }
        index += 1;
    }
    files.sort_by(|a, b| a.name().cmp(b.name()));
    files.dedup_by(|a, b| a.name() == b.name());
    let set = FileDescriptorSet { file: files };
    DescriptorPool::from_file_descriptor_set(set).expect("files that fit each other")
}

#[tokio::test]
async fn what_the_edge_serves_is_told_and_nothing_else() {
    let edge = telling().await;
    let services = services(&edge).await;
    for service in [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "kinora.accounts.v1.AuthService",
        "kinora.scheduler.v1.VideoService",
    ] {
        assert!(services.contains(service), "{services:?}");
    }
    // There is no billing here, and the others are for the mesh.
    let is_strange = |name: &String| {
        name.contains("billing") || name.contains("Worker") || name.contains("Trust")
    };
    assert!(!services.iter().any(is_strange), "{services:?}");
    let pool = told(&edge).await;
    let found: BTreeSet<String> = pool
        .services()
        .map(|service| service.full_name().to_owned())
        .collect();
    assert_eq!(found, services);
    let video = "kinora.scheduler.v1.VideoService";
    let video = pool.get_service_by_name(video).unwrap();
    let methods: Vec<String> = video.methods().map(|it| it.name().to_owned()).collect();
    assert!(methods.contains(&"WatchVideo".to_owned()), "{methods:?}");
    assert!(!methods.contains(&"FindContent".to_owned()), "{methods:?}");
    let request = "kinora.scheduler.v1.CreateVideoRequest";
    let request = pool.get_message_by_name(request).unwrap();
    assert!(request.get_field_by_name("not_before").is_some());
    for hidden in ["FindContentRequest", "AttachRequest"] {
        let hidden = pool.get_message_by_name(&format!("kinora.scheduler.v1.{hidden}"));
        assert!(hidden.is_none(), "{hidden:?}");
    }
}

#[tokio::test]
async fn nobody_finds_out_by_asking_for_names() {
    let edge = telling().await;
    for symbol in [
        "kinora.scheduler.v1.WorkerService",
        "kinora.scheduler.v1.VideoService.FindContent",
        "kinora.accounts.v1.ExchangeApiKeyRequest",
        "kinora.billing.v1.BillingService",
    ] {
        let question = MessageRequest::FileContainingSymbol(symbol.to_owned());
        let refused = ask(&edge, question).await.expect_err(symbol);
        assert_eq!(refused.code(), Code::NotFound, "{symbol}");
    }
    let import = "kinora/scheduler/v1/worker_service.proto".to_owned();
    let refused = ask(&edge, MessageRequest::FileByFilename(import)).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn older_tools_are_told_the_same() {
    use v1alpha::server_reflection_request::MessageRequest as Question;
    use v1alpha::server_reflection_response::MessageResponse as Answer;

    let edge = telling().await;
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(Question::ListServices(String::new())),
    };
    let mut client = OldClient::new(channel(&edge));
    let answers = client.server_reflection_info(stream::iter([request])).await;
    let answer = answers.unwrap().into_inner().next().await.unwrap().unwrap();
    let Some(Answer::ListServicesResponse(listed)) = answer.message_response else {
        panic!("no list");
    };
    let listed: BTreeSet<String> = listed.service.into_iter().map(|it| it.name).collect();
    assert_eq!(listed, services(&edge).await);
}

#[tokio::test]
async fn who_keeps_asking_is_cut_off_when_the_edge_stops() {
    let edge = telling().await;
    let mut client = ServerReflectionClient::new(channel(&edge));
    let first = asking(MessageRequest::ListServices(String::new()));
    let requests = stream::iter([first]).chain(stream::pending());
    let answers = client.server_reflection_info(requests).await.unwrap();
    let mut answers = answers.into_inner();
    assert!(answers.next().await.unwrap().is_ok());
    edge.shutdown.cancel();
    let status = answers.next().await.unwrap().unwrap_err();
    assert_eq!(PublicError::from_status(&status).reason, "SHUTTING_DOWN");
}

#[tokio::test]
async fn nothing_is_told_by_default() {
    let edge = TestEdge::start().await;
    let refused = ask(&edge, MessageRequest::ListServices(String::new())).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let reason = PublicError::from_status(&refused).reason;
    assert_eq!(reason, "METHOD_NOT_FOUND");
}
