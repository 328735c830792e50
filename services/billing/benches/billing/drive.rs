//! Clients that call one after the other, and what they saw.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use uuid::Uuid;

/// One round of calls.
pub struct Round {
    rate: f64,
    p50: Duration,
    p95: Duration,
}

/// Several rounds of the same calls.
#[derive(Default)]
pub struct Figure(Vec<Round>);

/// Makes a call for each job, with its number. Each client makes its next call when it has the answer to its last one.
pub async fn drive<Target, Call, Answer>(
    clients: usize,
    jobs: &[Uuid],
    target: &Target,
    call: Call,
) -> Round
where
    Target: Clone + Send + Sync + 'static,
    Call: Fn(Target, usize, Uuid) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let jobs: Arc<[Uuid]> = jobs.into();
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (next, jobs) = (Arc::clone(&next), Arc::clone(&jobs));
        let (target, call) = (target.clone(), call.clone());
        running.spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(&job) = jobs.get(number) else {
                    return times;
                };
                let begun = Instant::now();
                call(target.clone(), number, job).await;
                times.push(begun.elapsed());
            }
        });
    }
    let times = running.join_all().await.concat();
    Round::of(times, begun.elapsed())
}

impl Round {
    fn of(mut times: Vec<Duration>, took: Duration) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
        let calls = f64::from(u32::try_from(times.len()).unwrap());
        Self {
            rate: calls / took.as_secs_f64(),
            p50: at(50),
            p95: at(95),
        }
    }
}

impl Figure {
    /// Adds a round.
    pub fn add(&mut self, round: Round) {
        self.0.push(round);
    }

    /// The median of calls a second.
    pub fn rate(&self) -> f64 {
        let [median, _, _] = self.spread(|round| round.rate);
        median
    }

    /// Median, least and greatest of the rounds.
    fn spread(&self, of: impl Fn(&Round) -> f64) -> [f64; 3] {
        let mut values: Vec<f64> = self.0.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        [
            values[values.len() / 2],
            values[0],
            values[values.len() - 1],
        ]
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let [rate, least, most] = self.spread(|round| round.rate);
        let [p50, _, _] = self.spread(|round| millis(round.p50));
        let [p95, _, worst] = self.spread(|round| millis(round.p95));
        write!(
            f,
            "{rate:.0} | {least:.0} | {most:.0} | {p50:.1} ms | {p95:.1} ms | {worst:.1} ms"
        )
    }
}
