//! A thread that owns a model, and handles that ask it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Instant;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};

use super::control::LlmControl;
use super::error::LlmError;
use super::model::{LanguageModel, LlmOptions, LlmOutcome, LlmRequest};
use crate::error::{GenerateError, LoadError};
use crate::guard::guarded;

/// How to start an engine.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// How to load the model.
    pub model: LlmOptions,
    /// Requests that may wait besides the one that is being answered.
    pub queue: usize,
}

/// What answers requests one after the other: a model, or something in its place.
pub trait LlmBackend {
    /// Answers a request.
    ///
    /// # Errors
    /// Any [`LlmError`]; the next request is answered all the same.
    fn generate(
        &mut self,
        request: &LlmRequest,
        control: &mut dyn LlmControl,
    ) -> Result<LlmOutcome, LlmError>;
}

impl LlmBackend for LanguageModel {
    fn generate(
        &mut self,
        request: &LlmRequest,
        control: &mut dyn LlmControl,
    ) -> Result<LlmOutcome, LlmError> {
        LanguageModel::generate(self, request, control)
    }
}

/// Starts engines. An engine's thread ends with its last handle.
#[derive(Clone, Copy, Debug)]
pub struct LlmEngine;

/// Asks an engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct LlmHandle {
    jobs: SyncSender<Job>,
    queue: usize,
}

/// An answer on its way. Dropping it cancels the generation.
#[derive(Debug)]
pub struct LlmGeneration {
    pieces: mpsc::UnboundedReceiver<String>,
    outcome: oneshot::Receiver<Result<LlmOutcome, LlmError>>,
}

struct Job {
    request: LlmRequest,
    pieces: mpsc::UnboundedSender<String>,
    outcome: oneshot::Sender<Result<LlmOutcome, LlmError>>,
    asked: Instant,
}

impl LlmEngine {
    /// Loads a model on a thread of its own; returns when it is loaded.
    ///
    /// # Errors
    /// As [`LanguageModel::load`], and `Engine` if there is no thread to be had.
    pub fn start(path: &Path, options: &EngineOptions) -> Result<LlmHandle, LoadError> {
        let path: PathBuf = path.to_owned();
        let model = options.model.clone();
        Self::start_with(move || LanguageModel::load(&path, &model), options.queue)
    }

    /// Starts an engine of anything that answers, which is made on the engine's own thread.
    ///
    /// # Errors
    /// That of `make`, and `Engine` if there is no thread to be had.
    pub fn start_with<B: LlmBackend>(
        make: impl FnOnce() -> Result<B, LoadError> + Send + 'static,
        queue: usize,
    ) -> Result<LlmHandle, LoadError> {
        // One place is for the request that the thread is about to take.
        let (jobs, waiting) = sync_channel(queue.max(1));
        let (loaded, is_loaded) = channel();
        let run = move || match make() {
            Ok(mut backend) => {
                if loaded.send(Ok(())).is_ok() {
                    serve(&mut backend, &waiting);
                }
            }
            Err(error) => {
                // Nobody waits any more if this fails.
                let _ = loaded.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new().name("llm-engine".to_owned());
        let ended = |reason: &dyn std::fmt::Display| LoadError::Engine(reason.to_string());
        thread.spawn(run).map_err(|error| ended(&error))?;
        is_loaded
            .recv()
            .map_err(|_| ended(&"the thread ended while it loaded"))??;
        Ok(LlmHandle {
            jobs,
            queue: queue.max(1),
        })
    }
}

impl LlmHandle {
    /// Asks for an answer, and returns at once.
    ///
    /// # Errors
    /// `Busy` if as many requests wait as may, `Stopped` if the thread has ended.
    pub fn generate(&self, request: LlmRequest) -> Result<LlmGeneration, LlmError> {
        let (pieces, next_pieces) = mpsc::unbounded();
        let (outcome, result) = oneshot::channel();
        let job = Job {
            request,
            pieces,
            outcome,
            asked: Instant::now(),
        };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => LlmError::Busy {
                waiting: self.queue,
            },
            TrySendError::Disconnected(_) => LlmError::Stopped,
        })?;
        Ok(LlmGeneration {
            pieces: next_pieces,
            outcome: result,
        })
    }
}

impl LlmGeneration {
    /// The next piece of text; absent when there are no more.
    pub async fn next_piece(&mut self) -> Option<String> {
        self.pieces.next().await
    }

    /// The whole answer.
    ///
    /// # Errors
    /// What the generation ended with; `Stopped` if the thread ended.
    pub async fn outcome(self) -> Result<LlmOutcome, LlmError> {
        self.outcome.await.unwrap_or(Err(LlmError::Stopped))
    }

    /// The whole answer, for threads that may wait.
    ///
    /// # Errors
    /// As [`LlmGeneration::outcome`].
    pub fn wait(self) -> Result<LlmOutcome, LlmError> {
        futures::executor::block_on(self.outcome())
    }
}

/// A job's receivers as the control of its generation.
struct Listener<'a> {
    pieces: &'a mpsc::UnboundedSender<String>,
    outcome: &'a oneshot::Sender<Result<LlmOutcome, LlmError>>,
}

impl LlmControl for Listener<'_> {
    fn is_cancelled(&self) -> bool {
        self.outcome.is_canceled()
    }

    fn piece(&mut self, text: &str) {
        // The outcome may be all that somebody waits for.
        let _ = self.pieces.unbounded_send(text.to_owned());
    }
}

/// Answers jobs until the last handle is gone. A panic ends its job alone.
fn serve(backend: &mut dyn LlmBackend, waiting: &Receiver<Job>) {
    while let Ok(job) = waiting.recv() {
        if job.outcome.is_canceled() {
            continue;
        }
        let mut listener = Listener {
            pieces: &job.pieces,
            outcome: &job.outcome,
        };
        let answer = || Ok(backend.generate(&job.request, &mut listener));
        let result = guarded(answer).map_err(|error: GenerateError| LlmError::from(error));
        let result = result.and_then(|result| result).map(|outcome| LlmOutcome {
            // What was waited counts as well.
            seconds: job.asked.elapsed().as_secs_f64(),
            ..outcome
        });
        drop(job.pieces);
        // It was cancelled if this fails.
        let _ = job.outcome.send(result);
    }
}

#[cfg(test)]
mod tests;
