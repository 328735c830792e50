//! gRPC from outside, by the generated clients over plain HTTP/2.

use std::time::Duration;

use kinora_access::testing::principal_of;
use kinora_edge::UploadOptions;
use kinora_mesh::error::PublicError;
use kinora_proto::accounts::v1::auth_service_client::AuthServiceClient;
use kinora_proto::accounts::v1::{ExchangeApiKeyRequest, Origin, SignInRequest};
use kinora_proto::billing::v1::ListPlansRequest;
use kinora_proto::billing::v1::billing_service_client::BillingServiceClient;
use kinora_proto::scheduler::v1::video_service_client::VideoServiceClient;
use kinora_proto::scheduler::v1::{
    CancelVideoRequest, CreateVideoRequest, FindContentRequest, GetVideoRequest, ListModelsRequest,
    Video, WatchVideoRequest, WatchVideoResponse,
};
use kinora_testkit::wait::until;
use reqwest::Method;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::fake::Trouble;
use crate::harness::{ADA, BOB, CALL_TIMEOUT, TestEdge, check_problem};

/// For what comes at once.
const PATIENCE: Duration = Duration::from_secs(10);

#[expect(
    clippy::disallowed_methods,
    reason = "a client from outside of the mesh"
)]
pub fn channel(edge: &TestEdge) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", edge.address));
    endpoint.unwrap().connect_lazy()
}

fn videos(edge: &TestEdge) -> VideoServiceClient<Channel> {
    VideoServiceClient::new(channel(edge))
}

pub fn by<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

async fn create(edge: &TestEdge) -> Video {
    let request = CreateVideoRequest {
        prompt: "a red ball".to_owned(),
        ..Default::default()
    };
    let created = videos(edge).create_video(by(ADA, request)).await;
    created.unwrap().into_inner().video.unwrap()
}

async fn watch(edge: &TestEdge, id: &str) -> Streaming<WatchVideoResponse> {
    let request = WatchVideoRequest {
        id: id.to_owned(),
        after_seq: 0,
    };
    let watched = videos(edge).watch_video(by(ADA, request)).await;
    watched.unwrap().into_inner()
}

/// The next event's type; none at the end.
async fn next(events: &mut Streaming<WatchVideoResponse>) -> Result<Option<String>, Status> {
    let next = tokio::time::timeout(PATIENCE, events.message()).await;
    let next = next.expect("an event, or the end")?;
    Ok(next.map(|response| response.event.unwrap_or_default().r#type))
}

#[track_caller]
fn check<T>(answer: Result<T, Status>, code: Code, reason: &str) -> PublicError {
    let status = answer.err().expect("an error");
    let error = PublicError::from_status(&status);
    assert_eq!((status.code(), error.reason.as_str()), (code, reason));
    error
}

#[tokio::test]
async fn a_call_without_its_scope_is_refused_as_over_rest() {
    let edge = TestEdge::start().await;
    let mut claims = edge.accounts.issuer.claims("carol");
    claims.scope = "videos:read".to_owned();
    edge.accounts.add_key("kk_carol", claims);
    let request = CreateVideoRequest {
        prompt: "a red ball".to_owned(),
        ..Default::default()
    };
    let refused = videos(&edge).create_video(by("kk_carol", request)).await;
    let error = check(refused, Code::PermissionDenied, "SCOPE_MISSING");
    let scope = ("scope".to_owned(), "videos:write".to_owned());
    assert_eq!(error.metadata, [scope]);
    let models = videos(&edge)
        .list_models(by("kk_carol", ListModelsRequest::default()))
        .await;
    assert!(models.is_ok(), "{models:?}");
    assert_eq!(edge.scheduler.count(), 0);
}

#[tokio::test]
async fn a_generated_client_makes_a_video_and_follows_it() {
    let edge = TestEdge::start().await;
    let models = videos(&edge)
        .list_models(by(ADA, ListModelsRequest {}))
        .await;
    assert_eq!(models.unwrap().get_ref().data[0].id, "kinora-tiny-t2v");
    let video = create(&edge).await;
    assert_eq!(edge.scheduler.owner(&video.id), principal_of("ada"));
    let mut events = watch(&edge, &video.id).await;
    assert_eq!(next(&mut events).await.unwrap().as_deref(), Some("queued"));
    edge.scheduler.run(&video.id, 1);
    assert_eq!(
        next(&mut events).await.unwrap().as_deref(),
        Some("in_progress")
    );
    edge.scheduler.complete(&video.id);
    assert_eq!(
        next(&mut events).await.unwrap().as_deref(),
        Some("completed")
    );
    assert_eq!(next(&mut events).await.unwrap(), None);
}

#[tokio::test]
async fn callers_are_known_by_their_keys_alone() {
    let edge = TestEdge::start().await;
    let video = create(&edge).await;
    let message = GetVideoRequest { id: video.id };
    let stranger = videos(&edge).get_video(message.clone()).await;
    check(stranger, Code::Unauthenticated, "TOKEN_MISSING");
    let unknown = videos(&edge)
        .get_video(by("kk_other", message.clone()))
        .await;
    check(unknown, Code::Unauthenticated, "API_KEY_INVALID");
    let other = videos(&edge).get_video(by(BOB, message.clone())).await;
    check(other, Code::NotFound, "JOB_NOT_FOUND");
    let mut by_header = Request::new(message);
    by_header
        .metadata_mut()
        .insert("x-api-key", ADA.parse().unwrap());
    assert!(videos(&edge).get_video(by_header).await.is_ok());
}

#[tokio::test]
async fn what_has_no_route_is_not_there() {
    let edge = TestEdge::start().await;
    let video = create(&edge).await;
    let wanted = FindContentRequest {
        id: video.id,
        ..Default::default()
    };
    let found = videos(&edge).find_content(by(ADA, wanted)).await;
    check(found, Code::Unimplemented, "METHOD_NOT_FOUND");
    let key = ExchangeApiKeyRequest {
        api_key: ADA.to_owned(),
        origin: None,
    };
    let exchanged = AuthServiceClient::new(channel(&edge))
        .exchange_api_key(key)
        .await;
    check(exchanged, Code::Unimplemented, "METHOD_NOT_FOUND");
    // Billing is not there at all.
    let mut billing = BillingServiceClient::new(channel(&edge));
    let plans = billing.list_plans(ListPlansRequest::default()).await;
    check(plans, Code::Unimplemented, "METHOD_NOT_FOUND");
    for path in [
        "/kinora.scheduler.v1.WorkerService/Attach",
        "/kinora.accounts.v1.TrustService/GetTrust",
        "/kinora.scheduler.v1.VideoService/FindContent/",
        "/kinora.scheduler.v1.VideoService",
        "/v1/models",
    ] {
        let mut grpc = tonic::client::Grpc::new(channel(&edge));
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<ListModelsRequest, ListModelsRequest>::default();
        let path = path.parse().unwrap();
        let answer = grpc.unary(by(ADA, ListModelsRequest {}), path, codec).await;
        check(answer, Code::Unimplemented, "METHOD_NOT_FOUND");
    }
}

#[tokio::test]
async fn services_learn_where_a_request_comes_from_and_not_what_the_caller_says() {
    let edge = TestEdge::start().await;
    let made_up = SignInRequest {
        email: "ada@example.org".to_owned(),
        password: "secret".to_owned(),
        origin: Some(Origin {
            address: "203.0.113.9".to_owned(),
            user_agent: "nobody".to_owned(),
        }),
    };
    let signed_in = AuthServiceClient::new(channel(&edge))
        .sign_in(made_up)
        .await;
    assert!(signed_in.is_ok(), "{signed_in:?}");
    let origins = edge.accounts.origins();
    assert_eq!(origins[0].address, "127.0.0.1");
    assert!(origins[0].user_agent.starts_with("tonic/"), "{origins:?}");
}

#[tokio::test]
async fn messages_have_a_size_that_goes_by_what_they_may_hold() {
    let edge = TestEdge::start_with(UploadOptions::default(), PATIENCE).await;
    let with_picture = |bytes: usize| CreateVideoRequest {
        prompt: "a red ball".to_owned(),
        image: vec![7; bytes],
        ..Default::default()
    };
    let large = videos(&edge)
        .create_video(by(ADA, with_picture(16 << 20)))
        .await;
    let id = large.unwrap().into_inner().video.unwrap().id;
    assert_eq!(edge.scheduler.request(&id).image.len(), 16 << 20);
    let larger = videos(&edge)
        .create_video(by(ADA, with_picture(33 << 20)))
        .await;
    let error = check(larger, Code::ResourceExhausted, "BODY_TOO_LARGE");
    assert_eq!(
        error.metadata,
        [("max_bytes".to_owned(), (33 << 20).to_string())]
    );
    let id = "x".repeat(3 << 20);
    let long = videos(&edge)
        .cancel_video(by(ADA, CancelVideoRequest { id }))
        .await;
    check(long, Code::ResourceExhausted, "BODY_TOO_LARGE");
    let password = "x".repeat(100 << 10);
    let request = SignInRequest {
        password,
        ..Default::default()
    };
    let stranger = AuthServiceClient::new(channel(&edge))
        .sign_in(request)
        .await;
    check(stranger, Code::ResourceExhausted, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn pictures_take_places() {
    let uploads = UploadOptions { large_uploads: 1 };
    let edge = TestEdge::start_with(uploads, PATIENCE).await;
    edge.scheduler.be(Trouble::Hangs);
    let picture = CreateVideoRequest {
        image: vec![7; 100 << 10],
        ..Default::default()
    };
    let mut client = videos(&edge);
    let first = tokio::spawn({
        let request = by(ADA, picture.clone());
        let mut client = client.clone();
        async move { client.create_video(request).await }
    });
    until("the first one to be under way", PATIENCE, async || {
        let hanging = edge.scheduler.hanging();
        if hanging == 1 { Ok(()) } else { Err(hanging) }
    })
    .await;
    let second = client.create_video(by(ADA, picture.clone())).await;
    let error = check(second, Code::ResourceExhausted, "UPLOADS_BUSY");
    assert_eq!(error.retry_after, Some(Duration::from_secs(5)));
    first.abort();
    edge.scheduler.be(Trouble::None);
    until("the place to be free", PATIENCE, async || {
        let again = videos(&edge).create_video(by(ADA, picture.clone())).await;
        again.map_err(|status| status.message().to_owned())
    })
    .await;
}

#[tokio::test]
async fn nothing_waits_longer_than_the_edge_or_the_caller() {
    let edge = TestEdge::start().await;
    edge.scheduler.be(Trouble::Hangs);
    let begun = tokio::time::Instant::now();
    let mut patient = by(ADA, ListModelsRequest {});
    patient.set_timeout(Duration::from_secs(3600));
    let answer = videos(&edge).list_models(patient).await;
    check(answer, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(begun.elapsed() < CALL_TIMEOUT * 3);
    let told = edge.scheduler.deadline().unwrap();
    assert!(told.ends_with('u') && told.len() <= 8, "{told}");
    let edge = TestEdge::start_with(UploadOptions::default(), Duration::from_secs(3600)).await;
    edge.scheduler.be(Trouble::Hangs);
    let mut hasty = by(ADA, ListModelsRequest {});
    let header = "100m".parse().unwrap();
    hasty.metadata_mut().insert("grpc-timeout", header);
    assert!(videos(&edge).list_models(hasty).await.is_err());
}

#[tokio::test]
async fn errors_of_services_come_as_they_are_and_accidents_in_our_words() {
    let edge = TestEdge::start().await;
    let frames = CreateVideoRequest {
        frames: Some(14),
        ..Default::default()
    };
    let refused = videos(&edge).create_video(by(ADA, frames)).await;
    let error = check(refused, Code::InvalidArgument, "FRAMES_INVALID");
    assert_eq!(error.violations[0].field, "frames");
    edge.scheduler.be(Trouble::Leaks);
    let leaked = videos(&edge)
        .list_models(by(ADA, ListModelsRequest {}))
        .await;
    assert!(!leaked.as_ref().unwrap_err().message().contains("SELECT"));
    check(leaked, Code::Internal, "INTERNAL");
    edge.stop_scheduler();
    until("the scheduler to be away", PATIENCE, async || {
        let answer = videos(&edge)
            .list_models(by(ADA, ListModelsRequest {}))
            .await;
        let code = answer.err().map(|status| status.code());
        if code == Some(Code::Unavailable) {
            Ok(())
        } else {
            Err(code)
        }
    })
    .await;
}

#[tokio::test]
async fn streams_that_break_end_with_a_status() {
    let edge = TestEdge::start().await;
    let video = create(&edge).await;
    edge.scheduler.be(Trouble::DropsWatchers);
    let mut events = watch(&edge, &video.id).await;
    next(&mut events).await.unwrap();
    check(
        next(&mut events).await,
        Code::Unavailable,
        "WATCHER_TOO_SLOW",
    );
    edge.scheduler.be(Trouble::None);
    let mut events = watch(&edge, &video.id).await;
    next(&mut events).await.unwrap();
    edge.shutdown.cancel();
    check(next(&mut events).await, Code::Unavailable, "SHUTTING_DOWN");
}

#[tokio::test]
async fn a_caller_who_leaves_takes_its_stream_with_it() {
    let edge = TestEdge::start().await;
    let video = create(&edge).await;
    let mut events = watch(&edge, &video.id).await;
    next(&mut events).await.unwrap();
    assert_eq!(edge.scheduler.watchers(), 1);
    drop(events);
    until("nobody to watch", PATIENCE, async || {
        let watchers = edge.scheduler.watchers();
        if watchers == 0 { Ok(()) } else { Err(watchers) }
    })
    .await;
}

#[tokio::test]
async fn anybody_may_ask_for_health() {
    let edge = TestEdge::start().await;
    let mut health = HealthClient::new(channel(&edge));
    for service in ["", "kinora.scheduler.v1.VideoService"] {
        let service = service.to_owned();
        until("the edge to serve", PATIENCE, async || {
            let request = HealthCheckRequest {
                service: service.clone(),
            };
            let answer = health.clone().check(request).await;
            let answer = answer.map(|answer| answer.get_ref().status());
            match answer {
                Ok(ServingStatus::Serving) => Ok(()),
                other => Err(other.map_err(|status| status.code())),
            }
        })
        .await;
    }
    let service = "kinora.scheduler.v1.WorkerService".to_owned();
    let unknown = health.check(HealthCheckRequest { service }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let service = String::new();
    let watched = health.watch(HealthCheckRequest { service }).await;
    let mut watched = watched.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    edge.shutdown.cancel();
    let ended = tokio::time::timeout(PATIENCE, async {
        while let Ok(Some(next)) = watched.message().await {
            assert_eq!(next.status(), ServingStatus::NotServing);
        }
    });
    ended.await.expect("the watch ends with the edge");
}

#[tokio::test]
async fn what_is_no_call_is_a_problem() {
    let edge = TestEdge::start().await;
    let path = "/kinora.scheduler.v1.VideoService/ListModels";
    let send = async |method: Method, content_type: &str| {
        let request = edge
            .request(method, path)
            .header("content-type", content_type);
        request.send().await.unwrap()
    };
    let json = send(Method::POST, "application/grpc+json").await;
    check_problem(json, 415, "CONTENT_TYPE_UNSUPPORTED").await;
    let get = send(Method::GET, "application/grpc-web").await;
    check_problem(get, 405, "METHOD_NOT_ALLOWED").await;
    let http_1 = send(Method::POST, "application/grpc").await;
    check_problem(http_1, 400, "HTTP2_REQUIRED").await;
    let rest = send(Method::POST, "application/json").await;
    check_problem(rest, 404, "ROUTE_NOT_FOUND").await;
}
