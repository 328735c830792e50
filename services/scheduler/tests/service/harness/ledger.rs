//! A ledger that keeps its books right and is bad at everything else: it is away, slow, and loses its answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::ledger_service_server::LedgerServiceServer;
use kinora_scheduler::clock::Clock;
use kinora_testkit::identity::identity;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::PATIENCE;

mod book;
mod direct;
mod service;

pub use book::{Book, End, Held};

/// Clones share their state.
#[derive(Clone)]
pub struct FakeLedger(Arc<Mutex<State>>);

struct State {
    book: Book,
    clock: Arc<dyn Clock>,
    calls: HashMap<&'static str, u32>,
    tokens: HashMap<&'static str, Vec<String>>,
    is_away: bool,
    answers_to_lose: HashMap<&'static str, u32>,
    endpoint: String,
    /// Answers wait for a permit, after the work is done.
    answers_wait: Option<Arc<Semaphore>>,
    /// Calls fail before or after the work is done, or do it twice, as this says.
    chance: Option<StdRng>,
    /// Ends the server with the last clone.
    _stop: Option<tokio_util::sync::DropGuard>,
}

/// What a call is up to.
enum Fate {
    Straight,
    Twice,
    NotDone,
    AnswerLost,
}

struct Now;

impl Clock for Now {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

impl FakeLedger {
    /// With so many credits, for whoever pays.
    pub fn new(credits: u64) -> Self {
        Self::by(credits, Arc::new(Now))
    }

    pub fn by(credits: u64, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Mutex::new(State {
            book: Book::new(credits),
            clock,
            calls: HashMap::new(),
            tokens: HashMap::new(),
            is_away: false,
            answers_to_lose: HashMap::new(),
            endpoint: String::new(),
            answers_wait: None,
            chance: None,
            _stop: None,
        })))
    }

    /// Serves it as `billing`. Its URL.
    pub async fn serve(&self) -> String {
        let listener = kinora_testkit::net::loopback_listener().await;
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        self.0.lock()._stop = Some(stop.clone().drop_guard());
        // The server must not keep the state alive that ends it.
        let service = service::Served(Arc::downgrade(&self.0));
        let routes = Routes::new(LedgerServiceServer::new(service));
        tokio::spawn(async move {
            let identity = identity("billing");
            let lifecycle = Lifecycle::until(&stop);
            kinora_mesh::serve::grpc(listener, &identity, Grpc::of(routes), &lifecycle).await
        });
        let endpoint = format!("https://{address}");
        self.0.lock().endpoint.clone_from(&endpoint);
        endpoint
    }

    pub fn be_away(&self, is_away: bool) {
        self.0.lock().is_away = is_away;
    }

    /// Does what the next calls of a method ask, and does not tell.
    pub fn lose_answers(&self, method: &'static str, answers: u32) {
        self.0.lock().answers_to_lose.insert(method, answers);
    }

    /// Where it is served.
    pub fn endpoint(&self) -> String {
        self.0.lock().endpoint.clone()
    }

    /// Answers wait until the semaphore lets them.
    pub fn hold_answers(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.0.lock().answers_wait = Some(Arc::clone(&gate));
        gate
    }

    /// A third of all calls goes wrong from now on, in a way that the seed decides.
    pub fn be_hostile(&self, seed: Option<u64>) {
        self.0.lock().chance = seed.map(StdRng::seed_from_u64);
    }

    pub fn calls(&self, method: &str) -> u32 {
        self.0.lock().calls.get(method).copied().unwrap_or(0)
    }

    /// The headers that calls of a method came with; empty for none.
    pub fn tokens(&self, method: &str) -> Vec<String> {
        let state = self.0.lock();
        state.tokens.get(method).cloned().unwrap_or_default()
    }

    pub fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.0.lock().book)
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        change(&mut self.0.lock().book)
    }

    /// Makes all holds older, and their ends nearer.
    pub fn age(&self, by: TimeDelta) {
        self.change(|book| {
            for hold in book.holds.values_mut() {
                hold.create_time -= by;
                hold.expire_time -= by;
            }
        });
    }

    /// Waits until no hold is open, and gives what the holds came to, by job.
    pub async fn settled(&self) -> HashMap<String, Held> {
        let settled = || async {
            let holds = self.look(|book| book.holds.clone());
            if holds.values().any(Held::is_open) {
                Err(holds)
            } else {
                Ok(holds.into_iter().collect())
            }
        };
        let holds = kinora_testkit::wait::until("settled holds", PATIENCE, settled).await;
        self.look(Book::check);
        holds
    }

    /// One call: what goes wrong, goes wrong around `work`.
    async fn serve_call<T>(
        &self,
        method: &'static str,
        token: String,
        work: impl Fn(&mut Book, DateTime<Utc>) -> Result<T, PublicError>,
    ) -> Result<T, PublicError> {
        let (fate, now) = {
            let mut state = self.0.lock();
            *state.calls.entry(method).or_default() += 1;
            state.tokens.entry(method).or_default().push(token);
            (state.fate(method), state.clock.now())
        };
        let away = || PublicError::new(Kind::Unavailable, "AWAY", "the ledger is away");
        // Whoever calls may be killed here.
        tokio::task::yield_now().await;
        let done = match fate {
            Fate::NotDone => return Err(away()),
            Fate::Straight | Fate::AnswerLost => self.change(|book| work(book, now)),
            Fate::Twice => {
                let first = self.change(|book| work(book, now)).is_ok();
                let again = self.change(|book| work(book, now));
                assert_eq!(again.is_ok(), first, "{method} done twice");
                again
            }
        };
        tokio::task::yield_now().await;
        let gate = self.0.lock().answers_wait.clone();
        if let Some(gate) = gate {
            let permit = tokio::time::timeout(PATIENCE, gate.acquire()).await;
            permit.expect("in time").expect("open").forget();
        }
        match fate {
            Fate::AnswerLost => Err(away()),
            _ => done,
        }
    }
}

impl State {
    fn fate(&mut self, method: &'static str) -> Fate {
        if self.is_away {
            return Fate::NotDone;
        }
        if let Some(left) = self
            .answers_to_lose
            .get_mut(method)
            .filter(|left| **left > 0)
        {
            *left -= 1;
            return Fate::AnswerLost;
        }
        let throw = self
            .chance
            .as_mut()
            .map_or(9, |chance| chance.random_range(0..9));
        match throw {
            0 => Fate::NotDone,
            1 => Fate::AnswerLost,
            2 => Fate::Twice,
            _ => Fate::Straight,
        }
    }
}

/// What a clip costs: its pixels in all frames, in a unit that suits small clips.
pub fn price(work: &pb::Work) -> u64 {
    (u64::from(work.width) * u64::from(work.height) * u64::from(work.frames)).div_ceil(256)
}

/// Holds live for this long.
const LIFE: Duration = Duration::from_secs(24 * 3600);
