//! An S3 server in this process, over a folder.
//!
//! s3s speaks the protocol and checks every signature; [`files`] keeps the objects; [`protocol`] joins the two. It
//! offers what [`BlobStore`](crate::BlobStore) and a browser with a presigned URL use (buckets, put, get with ranges,
//! head, list, delete) and answers `NotImplemented` to the rest. Pages of every origin may use a presigned URL: it is the
//! URL that lets its holder in, and nothing that a browser adds by itself.

mod files;
mod protocol;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, ETAG};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};
use tower::Layer as _;
use tower_http::cors::{AllowHeaders, Any, Cors, CorsLayer};
use tracing::{debug, warn};

use self::files::ObjectFiles;
use self::protocol::Protocol;
use crate::Secret;

const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers under way may take to finish after a shutdown was asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a browser may remember that a page may use a URL.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);
/// Pause after a failed accept, such as when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the embedded server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The folder cannot be created or written.
    #[error("folder {} of the object store cannot be used", path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process serves the same folder.
    #[error("folder {} of the object store is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

/// The embedded S3 server.
#[derive(Debug)]
pub struct EmbeddedS3;

impl EmbeddedS3 {
    /// Serves the objects below `root` on `listener` until `shutdown` completes, then lets answers under way finish.
    ///
    /// It speaks plain HTTP: give it a loopback listener. `root` is created when missing and belongs to one server at
    /// a time; uploads that a crash left half done are removed from it. A finished upload survives a power loss.
    ///
    /// # Errors
    /// [`EmbeddedError`] when `root` cannot be used. Once it serves, it ends only by `shutdown`.
    pub async fn serve(
        listener: TcpListener,
        root: PathBuf,
        access_key: String,
        secret_key: Secret,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), EmbeddedError> {
        let files = Arc::new(open(&root)?);
        let mut builder = S3ServiceBuilder::new(Protocol::new(files));
        builder.set_auth(SimpleAuth::from_single(access_key, secret_key.reveal()));
        let service = cors().layer(builder.build());
        accept(listener, service, shutdown).await;
        Ok(())
    }
}

/// Pages may read and write with a signed URL, whatever headers their browser sends along.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::PUT])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, ETAG])
        .max_age(PREFLIGHT_AGE)
}

fn open(root: &Path) -> Result<ObjectFiles, EmbeddedError> {
    let unusable = |source| EmbeddedError::Root {
        path: root.to_owned(),
        source,
    };
    let files = ObjectFiles::open(root).map_err(unusable)?;
    files.ok_or_else(|| EmbeddedError::InUse {
        path: root.to_owned(),
    })
}

async fn accept(
    listener: TcpListener,
    service: Cors<S3Service>,
    shutdown: impl Future<Output = ()>,
) {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    let open_connections = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => spawn_connection(&http, stream, &service, &open_connections),
                Err(error) => {
                    warn!(%error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, open_connections.shutdown())
        .await
        .is_err()
    {
        warn!("object transfers were cut off by the shutdown");
    }
}

fn spawn_connection(
    http: &Builder<TokioExecutor>,
    stream: TcpStream,
    service: &Cors<S3Service>,
    open_connections: &GracefulShutdown,
) {
    let service = TowerToHyperService::new(service.clone());
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let connection = open_connections.watch(connection.into_owned());
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "connection ended early");
        }
    });
}
