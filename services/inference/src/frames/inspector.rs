//! The thread that owns the detector.

use std::thread;

use kinora_models::detector::Detector;
use kinora_models::{GenerateError, Picture, Signal};
use tokio::sync::{mpsc, oneshot};

use crate::engine::SignalCell;

/// Something that a frame shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// The detector's name for it.
    pub class: String,
    /// How sure that is, up to 1.
    pub score: f32,
}

/// Nobody knows what the frames show.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The detector failed.
    #[error("the frame detector failed")]
    Detector(#[source] GenerateError),
    /// The detector's thread has ended.
    #[error("the frame detector has ended")]
    Gone,
    /// The clip has no frames, or fewer than it says.
    #[error("the clip has no frames to look at")]
    NoFrames,
    /// The attempt was asked to stop meanwhile.
    #[error("the look at the frames was given up")]
    Stopped,
}

/// Looks at pictures, one at a time, on the thread that owns it.
pub trait Inspect: Send {
    /// What a picture shows.
    ///
    /// # Errors
    /// [`FrameError`], after which the next picture is looked at as if nothing had happened.
    fn inspect(&mut self, picture: &Picture) -> Result<Vec<Sighting>, FrameError>;
}

impl Inspect for Detector {
    fn inspect(&mut self, picture: &Picture) -> Result<Vec<Sighting>, FrameError> {
        let found = self.detect(picture).map_err(FrameError::Detector)?;
        let labels = self.labels();
        let sighting = |found: kinora_models::detector::Detection| Sighting {
            class: labels.get(found.class).cloned().unwrap_or_default(),
            score: found.score,
        };
        Ok(found.into_iter().map(sighting).collect())
    }
}

type Seen = Result<Vec<Vec<Sighting>>, FrameError>;

struct Request {
    pictures: Vec<Picture>,
    signal: SignalCell,
    reply: oneshot::Sender<Seen>,
}

/// A handle to the thread, which ends when the handle is dropped.
pub(super) struct Inspector {
    requests: mpsc::UnboundedSender<Request>,
}

impl Inspector {
    pub(super) fn start(mut inspector: Box<dyn Inspect>) -> std::io::Result<Self> {
        let (requests, mut inbox) = mpsc::unbounded_channel::<Request>();
        thread::Builder::new()
            .name("frames".to_owned())
            .spawn(move || {
                while let Some(request) = inbox.blocking_recv() {
                    let seen = look(inspector.as_mut(), &request);
                    // The attempt may have gone away meanwhile.
                    let _ = request.reply.send(seen);
                }
            })?;
        Ok(Self { requests })
    }

    /// What every picture shows, after those asked for earlier.
    pub(super) async fn look(&self, pictures: Vec<Picture>, signal: SignalCell) -> Seen {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            pictures,
            signal,
            reply,
        };
        self.requests.send(request).map_err(|_| FrameError::Gone)?;
        answer.await.map_err(|_| FrameError::Gone)?
    }
}

fn look(inspector: &mut dyn Inspect, request: &Request) -> Seen {
    let mut seen = Vec::new();
    for picture in &request.pictures {
        if request.signal.signal() != Signal::GoOn {
            return Err(FrameError::Stopped);
        }
        seen.push(inspector.inspect(picture)?);
    }
    Ok(seen)
}
