//! What a service tells of its contracts.

use futures::{StreamExt, stream};
use kinora_mesh::serve::GrpcOptions;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::service::{Server, health};

async fn server(grpc_reflection: bool) -> Server {
    let options = GrpcOptions {
        grpc_reflection,
        ..GrpcOptions::default()
    };
    Server::start(options).await
}

async fn ask(server: &Server, question: MessageRequest) -> Result<MessageResponse, Status> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut client = ServerReflectionClient::new(server.channel());
    let requests = stream::iter([request]);
    let answers = client.server_reflection_info(requests).await?;
    let answer = answers.into_inner().next().await.expect("an answer")?;
    Ok(answer.message_response.expect("a message"))
}

#[tokio::test]
async fn services_that_are_served_are_listed() {
    let server = server(true).await;
    let listed = ask(&server, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed.unwrap() else {
        panic!("no list");
    };
    let mut names: Vec<_> = listed.service.into_iter().map(|it| it.name).collect();
    names.sort_unstable();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "kinora.accounts.v1.TrustService",
        "kinora.scheduler.v1.WorkerService",
    ];
    assert_eq!(names, expected);
    for symbol in expected {
        let question = MessageRequest::FileContainingSymbol(symbol.to_owned());
        let MessageResponse::FileDescriptorResponse(files) = ask(&server, question).await.unwrap()
        else {
            panic!("no file of {symbol}");
        };
        assert_eq!(files.file_descriptor_proto.len(), 1, "{symbol}");
    }
}

#[tokio::test]
async fn nothing_is_told_by_default() {
    assert!(!GrpcOptions::default().grpc_reflection);
    let server = server(false).await;
    let refused = ask(&server, MessageRequest::ListServices(String::new())).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(health(server.channel()).await, 1, "serving");
}
