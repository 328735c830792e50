//! Calls that wait for the same payer are done together.
//!
//! A payer's row is the lock on its credits, so its calls are done one after the other. Were each of them a transaction of
//! its own, each would wait until all before it had reached the disk. So the calls of one process stand in a line for each
//! payer: whoever is at its head does all that wait there in one transaction, in the order in which they came, and gives
//! every one its own answer. Between processes the payer's row stays the lock.
//!
//! Nobody depends on who does the work. When that one goes away nothing was done, or all of it, and the others stand in line
//! again. When the work fails nothing was done, and each makes its call alone: what is wrong with one call is told to that
//! one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kinora_mesh::error::chain;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::error::Error;

/// Of all calls that are done together, unless one alone weighs more. It bounds how long a transaction takes, and how many
/// parameters a statement has.
const MOST: usize = 256;

/// The lines of payers, each for as long as somebody stands in it.
pub(crate) struct Lines<Call, Answer>(Mutex<BTreeMap<Payer, Arc<Line<Call, Answer>>>>);

struct Line<Call, Answer> {
    /// Who has it works.
    head: tokio::sync::Mutex<()>,
    waiting: Mutex<VecDeque<Waiting<Call, Answer>>>,
}

struct Waiting<Call, Answer> {
    call: Arc<Call>,
    weight: usize,
    reply: oneshot::Sender<Reply<Answer>>,
}

/// What somebody in a line is told.
enum Reply<Answer> {
    Done(Answer),
    Failed(Error),
    /// The work for several failed.
    Alone,
}

/// Somebody stands in a line.
struct Place<'a, Call, Answer> {
    lines: &'a Lines<Call, Answer>,
    payer: Payer,
    line: Arc<Line<Call, Answer>>,
}

impl<Call, Answer> Lines<Call, Answer> {
    /// Nobody stands in any.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Makes a call together with others for the same payer.
    ///
    /// `work` does calls, in their order, in one transaction, and answers in the same order; when it fails or is dropped it
    /// has done nothing, or may be done again. `weight` is how much this call has of what [`MOST`] bounds.
    ///
    /// # Errors
    /// What `work` for this call alone fails with.
    pub(super) async fn call<Work, Done>(
        &self,
        payer: Payer,
        call: Call,
        weight: usize,
        work: Work,
    ) -> Result<Answer, Error>
    where
        Work: Fn(Vec<Arc<Call>>) -> Done,
        Done: Future<Output = Result<Vec<Answer>, Error>>,
    {
        let call = Arc::new(call);
        loop {
            match self.stand(payer, &call, weight, &work).await {
                Some(Reply::Done(answer)) => return Ok(answer),
                Some(Reply::Failed(error)) => return Err(error),
                Some(Reply::Alone) => {
                    let answers = work(vec![call]).await?;
                    let missing = || Error::Broken("a call has no answer".to_owned());
                    return answers.into_iter().next().ok_or_else(missing);
                }
                None => {}
            }
        }
    }

    /// Stands in line until the call is answered. None when who did the work went away.
    async fn stand<Work, Done>(
        &self,
        payer: Payer,
        call: &Arc<Call>,
        weight: usize,
        work: &Work,
    ) -> Option<Reply<Answer>>
    where
        Work: Fn(Vec<Arc<Call>>) -> Done,
        Done: Future<Output = Result<Vec<Answer>, Error>>,
    {
        let place = self.enter(payer);
        let (reply, mut replied) = oneshot::channel();
        place.line.waiting.lock().push_back(Waiting {
            call: Arc::clone(call),
            weight,
            reply,
        });
        let _head = tokio::select! {
            biased;
            reply = &mut replied => return reply.ok(),
            head = place.line.head.lock() => head,
        };
        loop {
            match replied.try_recv() {
                Ok(reply) => return Some(reply),
                Err(TryRecvError::Closed) => return None,
                // Nobody has taken the call yet: it is among those that wait.
                Err(TryRecvError::Empty) => place.line.work(work).await,
            }
        }
    }

    fn enter(&self, payer: Payer) -> Place<'_, Call, Answer> {
        let mut lines = self.0.lock();
        let line = lines.entry(payer).or_insert_with(|| {
            Arc::new(Line {
                head: tokio::sync::Mutex::new(()),
                waiting: Mutex::new(VecDeque::new()),
            })
        });
        Place {
            lines: self,
            payer,
            line: Arc::clone(line),
        }
    }
}

impl<Call, Answer> Drop for Place<'_, Call, Answer> {
    fn drop(&mut self) {
        let mut lines = self.lines.0.lock();
        // One is the table's and one this place's; others are made under the table's lock alone.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.payer);
        }
    }
}

impl<Call, Answer> Line<Call, Answer> {
    /// Does the first of those that wait.
    async fn work<Work, Done>(&self, work: &Work)
    where
        Work: Fn(Vec<Arc<Call>>) -> Done,
        Done: Future<Output = Result<Vec<Answer>, Error>>,
    {
        let mut taken = self.take();
        let calls = taken.iter().map(|it| Arc::clone(&it.call)).collect();
        match work(calls).await {
            Ok(answers) => {
                for (waiting, answer) in taken.into_iter().zip(answers) {
                    waiting.tell(Reply::Done(answer));
                }
            }
            Err(error) if taken.len() > 1 => {
                let (error, calls) = (chain(&error), taken.len());
                tracing::warn!(%error, calls, "calls of one payer failed together: each is made alone");
                for waiting in taken {
                    waiting.tell(Reply::Alone);
                }
            }
            Err(error) => {
                if let Some(waiting) = taken.pop() {
                    waiting.tell(Reply::Failed(error));
                }
            }
        }
    }

    /// The first of those that wait, as many as are done together.
    fn take(&self) -> Vec<Waiting<Call, Answer>> {
        let mut waiting = self.waiting.lock();
        let (mut taken, mut weight) = (Vec::new(), 0_usize);
        while let Some(next) = waiting.pop_front() {
            // Nobody wants the answer of one that went away.
            if next.reply.is_closed() {
                continue;
            }
            weight = weight.saturating_add(next.weight);
            if weight > MOST && !taken.is_empty() {
                waiting.push_front(next);
                break;
            }
            taken.push(next);
        }
        taken
    }
}

impl<Call, Answer> Waiting<Call, Answer> {
    fn tell(self, reply: Reply<Answer>) {
        // Who has gone away meanwhile needs none.
        let _ = self.reply.send(reply);
    }
}

/// A refusal is an answer; with every other error nothing may be committed.
pub(super) fn told<T>(done: Result<T, Error>) -> Result<Result<T, Refusal>, Error> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(Error::Refused(refusal)) => Ok(Err(refusal)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
