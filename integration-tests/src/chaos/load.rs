//! Callers who submit one job after the other and follow each to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::judge::Accepted;

/// What callers do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// Callers that each have one job under way.
    pub(super) users: usize,
    /// Steps of a job: at least, at most.
    pub(super) steps: (u32, u32),
    /// One in so many jobs is cancelled; 0 for none.
    pub(super) cancelled: u32,
    /// Of what is random.
    pub(super) seed: u64,
}

/// What callers saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) accepted: Vec<Accepted>,
    pub(super) disorder: Vec<String>,
    pub(super) unanswered: u64,
}

/// Callers at work.
pub(super) struct Load {
    users: JoinSet<Seen>,
    stop: CancellationToken,
    /// Jobs that have ended so far.
    pub(super) ended: Arc<AtomicU64>,
}

impl Load {
    /// Sends the callers to work.
    pub(super) fn start(clients: &[Client], habits: Habits) -> Self {
        let (stop, ended) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let next_seed = Arc::new(AtomicU64::new(1));
        let mut users = JoinSet::new();
        for (index, salt) in (0..habits.users).zip(1_u64..) {
            let caller = index % clients.len();
            let user = User {
                client: clients[caller].clone(),
                caller,
                habits,
                rng: StdRng::seed_from_u64(habits.seed.wrapping_add(salt)),
                next_seed: Arc::clone(&next_seed),
                ended: Arc::clone(&ended),
                seen: Seen::default(),
            };
            users.spawn(user.work(stop.clone()));
        }
        Self { users, stop, ended }
    }

    /// Lets every caller finish its job, and tells what all have seen.
    pub(super) async fn finish(mut self) -> Seen {
        self.stop.cancel();
        let mut all = Seen::default();
        while let Some(seen) = self.users.join_next().await {
            let seen = seen.unwrap();
            all.accepted.extend(seen.accepted);
            all.disorder.extend(seen.disorder);
            all.unanswered += seen.unanswered;
        }
        all
    }
}

struct User {
    client: Client,
    caller: usize,
    habits: Habits,
    rng: StdRng,
    next_seed: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    seen: Seen,
}

impl User {
    async fn work(mut self, stop: CancellationToken) -> Seen {
        while !stop.is_cancelled() {
            self.one_job().await;
        }
        self.seen
    }

    async fn one_job(&mut self) {
        let seed = self.next_seed.fetch_add(1, Ordering::Relaxed);
        let (least, most) = self.habits.steps;
        let steps = self.rng.random_range(least..=most);
        let cancelled = self.habits.cancelled;
        let is_cancelled = cancelled > 0 && self.rng.random_ratio(1, cancelled);
        let after = Duration::from_millis(self.rng.random_range(0..1000));
        let Some(id) = self.client.submit(seed, steps).await else {
            self.seen.unanswered += 1;
            return;
        };
        self.seen.accepted.push(Accepted {
            caller: self.caller,
            id: id.clone(),
        });
        let cancelling = async {
            if is_cancelled {
                tokio::time::sleep(after).await;
                self.client.cancel(&id).await;
            }
        };
        let (ended, ()) = tokio::join!(self.client.follow(&id), cancelling);
        // One that does not end is the judge's to report.
        if let Some(ended) = ended {
            self.ended.fetch_add(1, Ordering::Relaxed);
            let disorder = ended.disorder.map(|what| format!("{id}, live: {what}"));
            self.seen.disorder.extend(disorder);
        }
    }
}
