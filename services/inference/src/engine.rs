//! The engine thread: it alone owns the device and the loaded model.
//!
//! Work goes in through a channel, one clip at a time; progress and the clip come out. A panic inside
//! the model ends the clip, never the thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kinora_models::{Clip, Control, GenerateError, GenerateRequest, Progress, Signal};
use tokio::sync::{mpsc, oneshot};

use crate::backend::{Backend, BackendError};

/// Asks a running clip to stop. Clones share one flag.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Raises the flag; it cannot be lowered.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is raised.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the engine tells while it works on a clip.
#[derive(Clone, Copy, Debug)]
pub enum EngineEvent {
    /// The model is being read; only when it is not resident.
    Loading,
    /// Work finished on the device.
    Progress(Progress),
}

/// A clip and the weights that made it.
pub struct Generated {
    /// The frames.
    pub clip: Clip,
    /// Relative file name and SHA-256 of every weights file.
    pub digests: Vec<(String, String)>,
}

struct Order {
    model: String,
    request: GenerateRequest,
    cancel: CancelFlag,
    events: mpsc::UnboundedSender<EngineEvent>,
    reply: oneshot::Sender<Result<Generated, BackendError>>,
    span: tracing::Span,
}

/// A handle to the engine thread. The thread ends when the last handle is dropped.
#[derive(Clone)]
pub struct Engine {
    orders: mpsc::UnboundedSender<Order>,
}

impl Engine {
    /// Starts the thread that owns `backend`.
    ///
    /// # Errors
    /// The system's error when no thread can be started.
    pub fn start(mut backend: Box<dyn Backend>) -> std::io::Result<Self> {
        let (orders, mut inbox) = mpsc::unbounded_channel::<Order>();
        thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                while let Some(order) = inbox.blocking_recv() {
                    serve(backend.as_mut(), order);
                }
            })?;
        Ok(Self { orders })
    }

    /// Generates a clip, after those asked for earlier.
    ///
    /// # Errors
    /// What the backend answers, or [`BackendError::EngineGone`].
    pub async fn generate(
        &self,
        model: String,
        request: GenerateRequest,
        cancel: CancelFlag,
        events: mpsc::UnboundedSender<EngineEvent>,
    ) -> Result<Generated, BackendError> {
        let (reply, answer) = oneshot::channel();
        let span = tracing::Span::current();
        self.orders
            .send(Order {
                model,
                request,
                cancel,
                events,
                reply,
                span,
            })
            .map_err(|_| BackendError::EngineGone)?;
        answer.await.map_err(|_| BackendError::EngineGone)?
    }
}

fn serve(backend: &mut dyn Backend, order: Order) {
    let Order {
        model,
        request,
        cancel,
        events,
        reply,
        span,
    } = order;
    let _entered = span.enter();
    let result = if cancel.is_cancelled() {
        Err(BackendError::Generate(GenerateError::Cancelled))
    } else {
        let mut control = Reporter {
            cancel,
            events,
            stage_span: None,
        };
        backend.generate(&model, &request, &mut control)
    };
    // The attempt may have gone away; then nobody wants the clip.
    let _ = reply.send(result);
}

/// Forwards progress, and gives every step and stage a span of its own in the job's trace.
struct Reporter {
    cancel: CancelFlag,
    events: mpsc::UnboundedSender<EngineEvent>,
    stage_span: Option<tracing::span::EnteredSpan>,
}

impl Control for Reporter {
    fn signal(&self) -> Signal {
        if self.cancel.is_cancelled() {
            Signal::Cancel
        } else {
            Signal::GoOn
        }
    }

    fn progress(&mut self, progress: Progress) {
        self.stage_span = None;
        let Progress { stage, step, steps } = progress;
        self.stage_span = Some(tracing::info_span!("step", ?stage, step, steps).entered());
        // Nobody listens once the attempt has ended.
        let _ = self.events.send(EngineEvent::Progress(progress));
    }
}

impl crate::backend::LoadObserver for Reporter {
    fn loading(&mut self) {
        let _ = self.events.send(EngineEvent::Loading);
    }
}

#[cfg(test)]
mod tests;
