//! The service that answers, in a process of its own: the scheduler's contract over the mesh's mutual TLS, without anything
//! behind it.
//!
//! It is served as every service of the mesh is, and asks nobody who calls. Each line of its standard input is a number of
//! milliseconds: every watcher gets an event, one after the other in that time. It ends with its input.

use std::convert::Infallible;
use std::io::stdin;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use kinora_mesh::identity::Identity;
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_proto::scheduler::v1::video_service_server::SERVICE_NAME;
use kinora_proto::scheduler::v1::{
    GetVideoRequest, GetVideoResponse, ListVideosRequest, ListVideosResponse, VideoEvent,
    WatchVideoRequest, WatchVideoResponse,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use crate::args::Place;
use crate::video;

/// Events that wait for the connection.
const UNSENT_EVENTS: usize = 16;

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// Three methods of the scheduler's contract. Clones share their watchers.
#[derive(Clone, Default)]
struct Backend(Arc<Mutex<Watchers>>);

#[derive(Default)]
struct Watchers {
    all: Vec<mpsc::Sender<VideoEvent>>,
    /// The number of the newest event.
    seq: u32,
}

/// Serves until the standard input ends.
pub async fn serve(place: &Place) -> Result<()> {
    let identity = Identity::of_folder(&place.identity_dir)?;
    let listener = kinora_mesh::serve::bind(place.listen).await?;
    let (backend, stop) = (Backend::default(), CancellationToken::new());
    let lifecycle = Lifecycle::until(&stop);
    let grpc = Grpc::of(Routes::new(backend.clone()));
    tokio::select! {
        served = kinora_mesh::serve::grpc(listener, &identity, grpc, &lifecycle) => Ok(served?),
        obeyed = backend.obey() => obeyed,
    }
}

impl Backend {
    async fn obey(&self) -> Result<()> {
        let (sender, mut orders) = mpsc::unbounded_channel();
        // A thread that nobody waits for: it may be reading when the process ends.
        std::thread::spawn(move || {
            for line in stdin().lines() {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        while let Some(line) = orders.recv().await {
            let millis = line?.parse().context("a number of milliseconds")?;
            self.tell_all_within(Duration::from_millis(millis)).await;
        }
        Ok(())
    }

    async fn tell_all_within(&self, time: Duration) {
        let watchers = self.open_watchers();
        let Ok(count @ 1..) = u32::try_from(watchers.len()) else {
            return;
        };
        let pause = time / count;
        if pause.is_zero() {
            let event = video::event(self.next_seq());
            for watcher in watchers {
                // Who is too slow, or gone, gets none; the benchmark counts.
                let _ = watcher.try_send(event.clone());
            }
            return;
        }
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for watcher in watchers {
            ticks.tick().await;
            let _ = watcher.try_send(video::event(self.next_seq()));
        }
    }

    fn open_watchers(&self) -> Vec<mpsc::Sender<VideoEvent>> {
        let mut watchers = self.0.lock();
        watchers.all.retain(|watcher| !watcher.is_closed());
        watchers.all.clone()
    }

    fn next_seq(&self) -> u32 {
        let mut watchers = self.0.lock();
        watchers.seq += 1;
        watchers.seq
    }

    /// A stream that begins with an event.
    fn watch(&self) -> ReceiverStream<VideoEvent> {
        let (sender, receiver) = mpsc::channel(UNSENT_EVENTS);
        let first = video::event(self.next_seq());
        // There is room in a new one.
        let _ = sender.try_send(first);
        self.0.lock().all.push(sender);
        ReceiverStream::new(receiver)
    }

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let (_, method) = request.uri().path().rsplit_once('/').unwrap_or_default();
        match method {
            "GetVideo" => {
                let answer = |_: Request<GetVideoRequest>| async {
                    Ok::<_, Status>(Response::new(video::one()))
                };
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<
                    GetVideoResponse,
                    GetVideoRequest,
                >::default());
                grpc.unary(service_fn(answer), request).await
            }
            "ListVideos" => {
                let answer = |_: Request<ListVideosRequest>| async {
                    Ok::<_, Status>(Response::new(video::page()))
                };
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<
                    ListVideosResponse,
                    ListVideosRequest,
                >::default());
                grpc.unary(service_fn(answer), request).await
            }
            "WatchVideo" => {
                let answer = |_: Request<WatchVideoRequest>| {
                    let events = self.watch().map(|event| {
                        let event = Some(event);
                        Ok::<_, Status>(WatchVideoResponse { event })
                    });
                    async { Ok::<_, Status>(Response::new(events)) }
                };
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<
                    WatchVideoResponse,
                    WatchVideoRequest,
                >::default());
                grpc.server_streaming(service_fn(answer), request).await
            }
            _ => Status::unimplemented("the benchmark has no need of it").into_http(),
        }
    }
}

impl NamedService for Backend {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for Backend {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        let backend = self.clone();
        Box::pin(async move { Ok(backend.answer(request).await) })
    }
}
