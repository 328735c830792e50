//! Connections of services that have shown who they are.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::MeshError;
use crate::error::chain;
use crate::identity::{Identity, ServiceCertificate};
use crate::workload::Workload;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Handshakes at a time; further connections wait in the system's queue. A thousand callers that say nothing are gone
/// after the time of one handshake.
const HANDSHAKES: usize = 1024;

/// After an accept that failed, out of descriptors most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// At most one refusal in this time is logged as a warning: whoever can reach the port can cause them.
const QUIET: Duration = Duration::from_secs(1);

/// A connection after its handshake. Requests have its [`Workload`] in their extensions.
pub struct MeshStream {
    tls: TlsStream<TcpStream>,
    peer: Workload,
}

/// A listener with its open handshakes. All of them end when it is dropped.
struct Listening {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<MeshStream>>,
    refusals: Arc<Refusals>,
}

/// When a refusal was logged last.
#[derive(Default)]
struct Refusals(parking_lot::Mutex<Option<Instant>>);

/// Accepts connections and shakes hands, many at a time, so that no caller holds up another.
///
/// Callers without a certificate of the mesh are cut off and never come out of it.
///
/// # Errors
/// [`MeshError::Identity`] when TLS cannot be set up.
pub fn incoming(
    listener: TcpListener,
    identity: &Identity,
) -> Result<impl Stream<Item = io::Result<MeshStream>> + Send + use<>, MeshError> {
    let listening = Listening {
        listener,
        acceptor: TlsAcceptor::from(Arc::new(identity.server_config()?)),
        handshakes: JoinSet::new(),
        refusals: Arc::default(),
    };
    Ok(stream::unfold(listening, |mut listening| async move {
        let accepted = listening.next().await;
        Some((Ok(accepted), listening))
    }))
}

impl Listening {
    async fn next(&mut self) -> MeshStream {
        loop {
            tokio::select! {
                Some(shaken) = self.handshakes.join_next() => {
                    if let Ok(Some(stream)) = shaken {
                        return stream;
                    }
                }
                accepted = self.listener.accept(), if self.handshakes.len() < HANDSHAKES => {
                    self.begin(accepted).await;
                }
            }
        }
    }

    async fn begin(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                return tokio::time::sleep(PAUSE).await;
            }
        };
        let acceptor = self.acceptor.clone();
        let refusals = Arc::clone(&self.refusals);
        self.handshakes.spawn(async move {
            let shaken = timeout(HANDSHAKE, shake_hands(stream, acceptor)).await;
            let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            shaken
                .inspect_err(|error| refusals.log(address, error))
                .ok()
        });
    }
}

async fn shake_hands(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<MeshStream> {
    stream.set_nodelay(true)?;
    let tls = acceptor.accept(stream).await?;
    let certificates = tls.get_ref().1.peer_certificates();
    let own = certificates.and_then(<[_]>::first);
    let own = own.ok_or_else(|| io::Error::other("no certificate"))?;
    let peer = ServiceCertificate::read(own).map_err(io::Error::other)?;
    let peer = peer.workload;
    Ok(MeshStream { tls, peer })
}

impl Refusals {
    fn log(&self, address: SocketAddr, error: &io::Error) {
        let problem = chain(error);
        // Probes of ports come and go without a word.
        if error.kind() == io::ErrorKind::UnexpectedEof || !self.is_due() {
            tracing::debug!(%address, %problem, "a connection was refused");
        } else {
            tracing::warn!(%address, %problem, "a connection was refused");
        }
    }

    fn is_due(&self) -> bool {
        let mut last = self.0.lock();
        let is_due = last.is_none_or(|last| last.elapsed() >= QUIET);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

impl Connected for MeshStream {
    type ConnectInfo = Workload;

    fn connect_info(&self) -> Workload {
        self.peer.clone()
    }
}

impl AsyncRead for MeshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for MeshStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }
}
