//! One address in front of several replicas, as a Service of a cluster is: connections go to whoever listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kinora_testkit::net::loopback_listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Forwards connections in turn; a replica that refuses is passed over. Knows nothing of what is said.
pub struct Entrance {
    port: u16,
    task: JoinHandle<()>,
}

impl Entrance {
    /// Listens on a free port of the loopback.
    pub async fn open(replicas: Vec<u16>) -> Self {
        let listener = loopback_listener().await;
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(accept(listener, replicas.into()));
        Self { port, task }
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, replicas: Arc<[u16]>) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(forward(client, Arc::clone(&replicas), Arc::clone(&turn)));
    }
}

async fn forward(mut client: TcpStream, replicas: Arc<[u16]>, turn: Arc<AtomicUsize>) {
    for _ in 0..replicas.len() {
        let next = turn.fetch_add(1, Ordering::Relaxed) % replicas.len();
        if let Ok(mut replica) = TcpStream::connect(("127.0.0.1", replicas[next])).await {
            // Small messages, and answers that others wait for.
            let _ = (client.set_nodelay(true), replica.set_nodelay(true));
            // Either side may die at any time; both ends see that.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut replica).await;
            return;
        }
    }
}
