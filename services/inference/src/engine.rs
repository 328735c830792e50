//! The engine thread: it alone owns the device and the loaded model.
//!
//! Work goes in through a channel, one clip at a time; progress and the clip come out. A panic inside
//! the model ends the clip, never the thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinora_models::wan::pipeline::{Rendering, Surroundings};
use kinora_models::{
    Checkpoint, Control, GenerateError, GenerateRequest, Picture, Progress, Signal, Stage,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::backend::{Backend, BackendError};

/// Tells a running clip to stop. Clones share one cell. What was asked for cannot be taken back, and a cancellation
/// outweighs a pause.
#[derive(Clone, Debug, Default)]
pub struct SignalCell(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    /// 0, [`PAUSE`] or [`CANCEL`].
    what: AtomicU8,
    changed: Notify,
}

const PAUSE: u8 = 1;
const CANCEL: u8 = 2;

impl SignalCell {
    /// Asks the clip to hand over its state and stop.
    pub fn pause(&self) {
        self.raise(PAUSE);
    }

    /// Asks the clip to stop.
    pub fn cancel(&self) {
        self.raise(CANCEL);
    }

    fn raise(&self, what: u8) {
        self.0.what.fetch_max(what, Ordering::Relaxed);
        self.0.changed.notify_waiters();
    }

    /// What was asked for.
    #[must_use]
    pub fn signal(&self) -> Signal {
        match self.0.what.load(Ordering::Relaxed) {
            0 => Signal::GoOn,
            PAUSE => Signal::Pause,
            _ => Signal::Cancel,
        }
    }

    /// Waits until either was asked for, and returns which.
    pub async fn stopped(&self) -> Signal {
        loop {
            // Registered before the look, so that nothing is missed between the two.
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            match self.signal() {
                Signal::GoOn => changed.await,
                asked => return asked,
            }
        }
    }
}

/// How long clips of an attempt have had the device, reading weights aside. Clones share one count.
#[derive(Clone, Debug, Default)]
pub struct DeviceTime(Arc<AtomicU64>);

impl DeviceTime {
    /// The time so far.
    #[must_use]
    pub fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

/// How often the engine hands something over while it works on a clip.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Between checkpoints; zero for one after every step.
    pub checkpoints: Duration,
    /// Between previews; none for no previews.
    pub previews: Option<Duration>,
}

/// What the engine tells while it works on a clip.
#[derive(Clone, Debug)]
pub enum EngineEvent {
    /// The model is being read; only when it is not resident.
    Loading,
    /// Work finished on the device.
    Progress(Progress),
    /// A state from which another worker can go on.
    Checkpoint(Checkpoint),
    /// What the clip begins to look like.
    Preview(Picture),
}

/// A clip and what made it.
pub struct Generated {
    /// The clip.
    pub rendering: Rendering,
    /// Relative file name and SHA-256 of every weights file.
    pub digests: Vec<(String, String)>,
    /// What besides the request and the weights decides them.
    pub surroundings: Surroundings,
}

/// A clip to generate.
pub struct Order {
    /// The model's id.
    pub model: String,
    /// The clip.
    pub request: GenerateRequest,
    /// Where an earlier attempt was cut off.
    pub checkpoint: Option<Bytes>,
    /// Stops it.
    pub signal: SignalCell,
    /// Counts the time that it takes.
    pub device_time: DeviceTime,
}

/// Models whose weights are in the device's memory.
type Residents = Arc<Mutex<Vec<String>>>;

struct Envelope {
    order: Order,
    events: mpsc::UnboundedSender<EngineEvent>,
    reply: oneshot::Sender<Result<Generated, BackendError>>,
    span: tracing::Span,
}

/// A handle to the engine thread. The thread ends when the last handle is dropped.
#[derive(Clone)]
pub struct Engine {
    orders: mpsc::UnboundedSender<Envelope>,
    residents: Residents,
}

impl Engine {
    /// Starts the thread that owns `backend`.
    ///
    /// # Errors
    /// The system's error when no thread can be started.
    pub fn start(mut backend: Box<dyn Backend>, rhythm: Rhythm) -> std::io::Result<Self> {
        let (orders, mut inbox) = mpsc::unbounded_channel::<Envelope>();
        let residents: Residents = Arc::new(Mutex::new(backend.residents()));
        let known = Arc::clone(&residents);
        thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                while let Some(envelope) = inbox.blocking_recv() {
                    serve(backend.as_mut(), rhythm, envelope, &known);
                }
            })?;
        Ok(Self { orders, residents })
    }

    /// The models whose weights are in the device's memory.
    #[must_use]
    pub fn residents(&self) -> Vec<String> {
        self.residents.lock().clone()
    }

    /// Generates a clip, after those asked for earlier.
    ///
    /// # Errors
    /// What the backend answers, or [`BackendError::EngineGone`].
    pub async fn generate(
        &self,
        order: Order,
        events: mpsc::UnboundedSender<EngineEvent>,
    ) -> Result<Generated, BackendError> {
        let (reply, answer) = oneshot::channel();
        let envelope = Envelope {
            order,
            events,
            reply,
            span: tracing::Span::current(),
        };
        self.orders
            .send(envelope)
            .map_err(|_| BackendError::EngineGone)?;
        answer.await.map_err(|_| BackendError::EngineGone)?
    }
}

fn serve(backend: &mut dyn Backend, rhythm: Rhythm, envelope: Envelope, residents: &Residents) {
    let Envelope {
        order,
        events,
        reply,
        span,
    } = envelope;
    let _entered = span.enter();
    let result = match order.signal.signal() {
        Signal::Cancel => Err(BackendError::Generate(GenerateError::Cancelled)),
        Signal::Pause => Err(BackendError::Generate(GenerateError::Paused)),
        Signal::GoOn => {
            let mut control = Reporter::new(&order, events, rhythm, Arc::clone(residents));
            let generated = backend.generate(&order, &mut control);
            order.device_time.add(control.begun.elapsed());
            *residents.lock() = backend.residents();
            generated
        }
    };
    // The attempt may have gone away; then nobody wants the clip.
    let _ = reply.send(result);
}

/// Forwards progress, and gives every step and stage a span of its own in the job's trace.
struct Reporter {
    signal: SignalCell,
    events: mpsc::UnboundedSender<EngineEvent>,
    stage_span: Option<tracing::span::EnteredSpan>,
    checkpoints: Pace,
    previews: Option<Pace>,
    /// When the clip got the device: weights have been read before.
    begun: Instant,
    /// The model that is being read.
    loading: Option<String>,
    model: String,
    residents: Residents,
}

/// Says when something is due again.
struct Pace {
    interval: Duration,
    last: Option<Instant>,
}

impl Pace {
    const fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: None,
        }
    }

    /// Begins to count, unless that was done.
    fn begin(&mut self) {
        self.last.get_or_insert_with(Instant::now);
    }

    /// True when the interval has passed, and counts anew.
    fn is_due(&mut self) -> bool {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= self.interval);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }
}

impl Reporter {
    fn new(
        order: &Order,
        events: mpsc::UnboundedSender<EngineEvent>,
        rhythm: Rhythm,
        residents: Residents,
    ) -> Self {
        Self {
            signal: order.signal.clone(),
            events,
            stage_span: None,
            checkpoints: Pace::new(rhythm.checkpoints),
            previews: rhythm.previews.map(Pace::new),
            begun: Instant::now(),
            loading: None,
            model: order.model.clone(),
            residents,
        }
    }

    /// The first news after reading began tell that it has ended.
    fn loaded(&mut self) {
        if let Some(model) = self.loading.take() {
            self.begun = Instant::now();
            *self.residents.lock() = vec![model];
        }
    }

    fn tell(&self, event: EngineEvent) {
        // Nobody listens once the attempt has ended.
        let _ = self.events.send(event);
    }
}

impl Control for Reporter {
    fn signal(&self) -> Signal {
        self.signal.signal()
    }

    fn progress(&mut self, progress: Progress) {
        self.loaded();
        self.stage_span = None;
        let Progress { stage, step, steps } = progress;
        if stage == Stage::Denoising {
            self.checkpoints.begin();
            self.previews.iter_mut().for_each(Pace::begin);
        }
        self.stage_span = Some(tracing::info_span!("step", ?stage, step, steps).entered());
        self.tell(EngineEvent::Progress(progress));
    }

    fn wants_checkpoint(&mut self) -> bool {
        self.checkpoints.is_due()
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) {
        self.tell(EngineEvent::Checkpoint(checkpoint));
    }

    fn wants_preview(&mut self) -> bool {
        self.previews.as_mut().is_some_and(Pace::is_due)
    }

    fn preview(&mut self, picture: Picture) {
        self.tell(EngineEvent::Preview(picture));
    }

    fn checkpoint_refused(&mut self, reason: &str) {
        // The span names the job.
        tracing::warn!(reason, "the checkpoint cannot be used; the job starts over");
    }
}

impl crate::backend::LoadObserver for Reporter {
    fn loading(&mut self) {
        // What was there before goes first.
        self.residents.lock().clear();
        self.loading = Some(self.model.clone());
        self.tell(EngineEvent::Loading);
    }
}

#[cfg(test)]
mod tests;
