//! The streams of workers that are attached to this process.

use std::collections::HashMap;
use std::sync::Arc;

use kinora_ids::LeaseRef;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Handles = Arc<Mutex<HashMap<String, Handle>>>;

/// Finds the stream of a worker, to tell it what changed. Workers of other replicas are not here;
/// their next heartbeat tells them.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    handles: Handles,
}

#[derive(Debug)]
struct Handle {
    session: Uuid,
    superseded: CancellationToken,
    revocations: mpsc::UnboundedSender<LeaseRef>,
}

/// A registered stream; dropping it takes it off the list.
#[derive(Debug)]
pub struct Registration {
    handles: Handles,
    worker: String,
    /// Identifies this stream in the database.
    pub session: Uuid,
    /// Cancelled when a newer stream of the same worker registers.
    pub superseded: CancellationToken,
    /// Leases that no longer stand.
    pub revocations: mpsc::UnboundedReceiver<LeaseRef>,
}

impl Sessions {
    /// Adds a stream. An older one of the same worker is told to end.
    #[must_use]
    pub fn register(&self, worker: &str) -> Registration {
        let (sender, revocations) = mpsc::unbounded_channel();
        let session = Uuid::now_v7();
        let superseded = CancellationToken::new();
        let handle = Handle {
            session,
            superseded: superseded.clone(),
            revocations: sender,
        };
        if let Some(older) = self.handles.lock().insert(worker.to_owned(), handle) {
            older.superseded.cancel();
        }
        Registration {
            handles: Arc::clone(&self.handles),
            worker: worker.to_owned(),
            session,
            superseded,
            revocations,
        }
    }

    /// Tells a worker that a lease no longer stands, if it is attached here.
    pub fn revoke(&self, worker: &str, lease: LeaseRef) {
        if let Some(handle) = self.handles.lock().get(worker) {
            // Fails when the stream is ending; the worker then learns it when it attaches again.
            let _ = handle.revocations.send(lease);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut handles = self.handles.lock();
        let is_newest = handles
            .get(&self.worker)
            .is_some_and(|handle| handle.session == self.session);
        if is_newest {
            handles.remove(&self.worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use kinora_ids::JobId;

    use super::*;

    #[tokio::test]
    async fn newer_stream_replaces_the_older() {
        let sessions = Sessions::default();
        let older = sessions.register("w");
        let mut newer = sessions.register("w");
        assert!(older.superseded.is_cancelled() && !newer.superseded.is_cancelled());
        drop(older);
        let lease = LeaseRef {
            job: JobId::generate(),
            lease: 1,
        };
        sessions.revoke("w", lease);
        assert_eq!(newer.revocations.recv().await, Some(lease));
        drop(newer);
        assert!(sessions.handles.lock().is_empty());
    }
}
