//! API keys become tokens at the accounts service, which is asked once in a few seconds for each key.
//!
//! Keys are known here by their SHA-256 only. What the accounts service says of a key is kept for five seconds at most,
//! so that a revoked one is refused soon; a refusal for one. Requests with the same key share one question.
//!
//! A question is counted on the address of who makes it necessary, so that guessing soon costs that service nothing. One
//! about a key that was good lately is not: no stranger behind the same address shuts out its owner.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use kinora_access::Authenticator;
use kinora_mesh::channel::RetryChannel;
use kinora_mesh::error::PublicError;
use kinora_proto::accounts::v1::auth_service_client::AuthServiceClient;
use kinora_proto::accounts::v1::{ExchangeApiKeyRequest, Origin};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, Status};
use tracing::Instrument;

use super::{Bearer, unknown_key};
use crate::limits::REFUSED;
use crate::problem::Problem;
use crate::visit::Visit;

/// How long a key's token is used before the key is exchanged again.
pub const KEPT: Duration = Duration::from_secs(5);

/// How long a refusal is repeated without asking.
const REFUSALS_KEPT: Duration = Duration::from_secs(1);

/// Keys whose tokens are kept at a time.
const MAX_KEPT: usize = 16_384;

/// Refusals that are kept at a time.
const MAX_REFUSALS: usize = 4096;

/// Questions that are open at a time; more keys, unless they were good lately, are answered with 503.
const MAX_FLIGHTS: usize = 1024;

type KeyHash = [u8; 32];

type Outcome = Result<Arc<Bearer>, Problem>;

type Flight = Shared<BoxFuture<'static, Outcome>>;

/// Turns keys into callers. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct KeyExchange {
    inner: Arc<Inner>,
}

struct Inner {
    accounts: AuthServiceClient<RetryChannel>,
    tokens: Authenticator,
    timeout: Duration,
    known: Mutex<Known>,
}

/// Good keys and refused ones are apart: no number of wrong keys drives out a good one.
#[derive(Default)]
struct Known {
    good: HashMap<KeyHash, Kept<Arc<Bearer>>>,
    refused: HashMap<KeyHash, Kept<Problem>>,
    flights: HashMap<KeyHash, Flight>,
}

struct Kept<T> {
    value: T,
    until: Instant,
}

impl KeyExchange {
    /// Asks over `accounts`, each time within `timeout`, and checks what comes with `tokens`.
    #[must_use]
    pub fn new(accounts: RetryChannel, tokens: Authenticator, timeout: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                accounts: AuthServiceClient::new(accounts),
                tokens,
                timeout,
                known: Mutex::default(),
            }),
        }
    }

    /// The caller behind a key.
    ///
    /// # Errors
    ///
    /// A 401 [`Problem`] for a key that opens nothing, 429 when there were too many questions from where the request comes
    /// from, 503 while the accounts service is away.
    pub(crate) async fn bearer_of(&self, key: &str, user_agent: &str, visit: &Visit) -> Outcome {
        let hash: KeyHash = Sha256::digest(key).into();
        loop {
            let (flight, is_own) = {
                let mut known = self.inner.known.lock();
                if let Some(outcome) = known.look_up(&hash, Instant::now()) {
                    return outcome;
                }
                match known.flights.get(&hash) {
                    Some(flight) => (flight.clone(), false),
                    None if !known.has_room_for(&hash) => return Err(away()),
                    None => {
                        let charged = (!known.was_good(&hash)).then(|| visit.clone());
                        let flight = self.take_off(hash, key, user_agent, charged);
                        known.flights.insert(hash, flight.clone());
                        (flight, true)
                    }
                }
            };
            match flight.await {
                // Whoever was first may have come from another address.
                Err(problem) if !is_own && is_limited(&problem) => visit.count_stranger().await?,
                outcome => return outcome,
            }
        }
    }

    /// Asks in a task of its own: a client that hangs up does not take the answer from others. The question is counted on
    /// the address of `charged` before it is asked, and no longer once the key was good.
    fn take_off(
        &self,
        hash: KeyHash,
        key: &str,
        user_agent: &str,
        charged: Option<Visit>,
    ) -> Flight {
        let mut request = Request::new(ExchangeApiKeyRequest {
            api_key: key.to_owned(),
            origin: Some(Origin {
                address: String::new(),
                user_agent: user_agent.to_owned(),
            }),
        });
        request.set_timeout(self.inner.timeout);
        kinora_mesh::trace::inject(request.metadata_mut());
        let landing = Landing {
            inner: Arc::clone(&self.inner),
            hash,
        };
        let asking = async move {
            if let Some(visit) = &charged {
                visit.count_stranger().await?;
            }
            let asked = Instant::now();
            let outcome = landing.inner.ask(request).await;
            landing.inner.known.lock().keep(hash, asked, &outcome);
            if let (Some(visit), Ok(_)) = (&charged, &outcome) {
                visit.forgive().await;
            }
            outcome.map(|(bearer, _)| bearer)
        };
        let task = tokio::spawn(asking.in_current_span());
        async move { task.await.unwrap_or_else(|_| Err(Problem::internal())) }
            .boxed()
            .shared()
    }
}

/// Ends a flight, whatever became of it.
struct Landing {
    inner: Arc<Inner>,
    hash: KeyHash,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.inner.known.lock().flights.remove(&self.hash);
    }
}

impl Inner {
    /// The caller, and for how long the token is good.
    async fn ask(
        &self,
        request: Request<ExchangeApiKeyRequest>,
    ) -> Result<(Arc<Bearer>, Duration), Problem> {
        let mut accounts = self.accounts.clone();
        let answer = match timeout(self.timeout, accounts.exchange_api_key(request)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(refused(&status)),
            Err(_) => return Err(away()),
        };
        let bearer = Bearer::of_token(&self.tokens, &answer.access_token).await;
        let bearer = bearer.map_err(PublicError::from)?;
        let ends = answer.expire_time.unwrap_or_default().seconds;
        let left = ends.saturating_sub(chrono::Utc::now().timestamp());
        Ok((
            Arc::new(bearer),
            Duration::from_secs(left.try_into().unwrap_or(0)),
        ))
    }
}

impl Known {
    fn look_up(&self, hash: &KeyHash, now: Instant) -> Option<Outcome> {
        if let Some(kept) = self.good.get(hash).filter(|kept| now < kept.until) {
            return Some(Ok(Arc::clone(&kept.value)));
        }
        let refusal = self.refused.get(hash).filter(|kept| now < kept.until)?;
        Some(Err(refusal.value.clone()))
    }

    /// Whether a question about a key may be asked now. One that was good lately is asked for in any case: a crowd of wrong
    /// keys does not stand in its way.
    fn has_room_for(&self, hash: &KeyHash) -> bool {
        self.flights.len() < MAX_FLIGHTS || self.was_good(hash)
    }

    /// Whether a key was good when it was last asked about. Many others may have made it forgotten.
    fn was_good(&self, hash: &KeyHash) -> bool {
        self.good.contains_key(hash)
    }

    /// Keeps what was said of a key that was asked for at `asked`.
    fn keep(
        &mut self,
        hash: KeyHash,
        asked: Instant,
        outcome: &Result<(Arc<Bearer>, Duration), Problem>,
    ) {
        match outcome {
            Ok((bearer, left)) => {
                let until = asked + KEPT.min(*left);
                make_room(&mut self.good, MAX_KEPT);
                if self.good.len() >= MAX_KEPT {
                    drop_oldest(&mut self.good);
                }
                let value = Arc::clone(bearer);
                self.good.insert(hash, Kept { value, until });
            }
            Err(problem) => {
                // That it cannot be told now says nothing about the key.
                if problem.status() != StatusCode::SERVICE_UNAVAILABLE {
                    self.good.remove(&hash);
                }
                make_room(&mut self.refused, MAX_REFUSALS);
                if self.refused.len() < MAX_REFUSALS {
                    let value = problem.clone();
                    let until = Instant::now() + REFUSALS_KEPT;
                    self.refused.insert(hash, Kept { value, until });
                }
            }
        }
    }
}

/// Forgets what is over, once there is as much as there may be.
fn make_room<T>(kept: &mut HashMap<KeyHash, Kept<T>>, most: usize) {
    if kept.len() >= most {
        let now = Instant::now();
        kept.retain(|_, kept| now < kept.until);
    }
}

fn drop_oldest<T>(kept: &mut HashMap<KeyHash, Kept<T>>) {
    let oldest = kept.iter().min_by_key(|(_, kept)| kept.until);
    if let Some(hash) = oldest.map(|(hash, _)| *hash) {
        kept.remove(&hash);
    }
}

/// What the accounts service says of a key goes to the caller; that it is away is said in our words.
fn refused(status: &Status) -> Problem {
    let error = PublicError::from_status(status);
    match status.code() {
        Code::Unauthenticated if error.reason == "API_KEY_INVALID" => unknown_key(),
        Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::ResourceExhausted => error.into(),
        _ => away(),
    }
}

fn is_limited(problem: &Problem) -> bool {
    problem.said().0 == REFUSED
}

fn away() -> Problem {
    let detail = "API keys cannot be checked now; try again in a moment";
    Problem::unavailable("ACCOUNTS_UNAVAILABLE", detail)
}

impl fmt::Debug for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.inner.known.lock();
        f.debug_struct("KeyExchange")
            .field("good", &known.good.len())
            .field("refused", &known.refused.len())
            .field("flights", &known.flights.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use kinora_access::Verifier;
    use kinora_access::testing::{ISSUER, TestIssuer};
    use tokio::time::advance;

    use super::*;

    async fn bearer() -> Arc<Bearer> {
        let issuer = TestIssuer::new();
        let tokens = Authenticator::new(Verifier::new(ISSUER, &["scheduler"]), issuer.keeper());
        let bearer = Bearer::of_token(&tokens, &issuer.token("anna")).await;
        Arc::new(bearer.unwrap())
    }

    fn hash(number: usize) -> KeyHash {
        Sha256::digest(number.to_be_bytes()).into()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_is_forgotten_in_time() {
        let mut known = Known::default();
        let long = Duration::from_secs(600);
        known.keep(hash(1), Instant::now(), &Ok((bearer().await, long)));
        known.keep(hash(2), Instant::now(), &Err(unknown_key()));
        known.keep(
            hash(3),
            Instant::now(),
            &Ok((bearer().await, Duration::from_secs(2))),
        );
        let answers = |known: &Known| {
            [1, 2, 3].map(|number| known.look_up(&hash(number), Instant::now()).is_some())
        };
        assert_eq!(answers(&known), [true, true, true]);
        advance(REFUSALS_KEPT).await;
        assert_eq!(answers(&known), [true, false, true]);
        advance(REFUSALS_KEPT).await;
        assert_eq!(
            answers(&known),
            [true, false, false],
            "no longer than its token"
        );
        advance(KEPT).await;
        assert_eq!(answers(&known), [false, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_number_of_wrong_keys_drives_out_a_good_one() {
        let mut known = Known::default();
        let good = (bearer().await, KEPT);
        known.keep(hash(0), Instant::now(), &Ok(good));
        for number in 1..=2 * MAX_REFUSALS {
            known.keep(hash(number), Instant::now(), &Err(unknown_key()));
        }
        assert_eq!((known.good.len(), known.refused.len()), (1, MAX_REFUSALS));
        assert!(matches!(
            known.look_up(&hash(0), Instant::now()),
            Some(Ok(_))
        ));
        advance(REFUSALS_KEPT).await;
        known.keep(hash(1), Instant::now(), &Err(unknown_key()));
        assert_eq!(known.refused.len(), 1, "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn crowd_of_unknown_keys_does_not_stand_in_the_way_of_a_good_one() {
        let mut known = Known::default();
        known.keep(hash(0), Instant::now(), &Ok((bearer().await, KEPT)));
        advance(KEPT).await;
        for number in 1..=MAX_FLIGHTS {
            assert!(known.has_room_for(&hash(number)));
            let flight = std::future::pending().boxed().shared();
            known.flights.insert(hash(number), flight);
        }
        assert!(!known.has_room_for(&hash(MAX_FLIGHTS + 1)));
        assert!(known.has_room_for(&hash(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn oldest_of_too_many_keys_goes() {
        let mut known = Known::default();
        let bearer = bearer().await;
        for number in 0..MAX_KEPT + 2 {
            advance(Duration::from_micros(1)).await;
            known.keep(
                hash(number),
                Instant::now(),
                &Ok((Arc::clone(&bearer), KEPT)),
            );
        }
        assert_eq!(known.good.len(), MAX_KEPT);
        let has = |number| known.look_up(&hash(number), Instant::now()).is_some();
        assert!(!has(0) && !has(1) && has(2) && has(MAX_KEPT + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn key_that_cannot_be_asked_about_stays_one_that_was_good() {
        let mut known = Known::default();
        known.keep(hash(1), Instant::now(), &Ok((bearer().await, KEPT)));
        advance(KEPT).await;
        known.keep(hash(1), Instant::now(), &Err(away()));
        assert!(matches!(
            known.look_up(&hash(1), Instant::now()),
            Some(Err(_))
        ));
        assert!(known.good.contains_key(&hash(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn refusal_ends_what_was_good() {
        let mut known = Known::default();
        known.keep(hash(1), Instant::now(), &Ok((bearer().await, KEPT)));
        known.keep(hash(1), Instant::now(), &Err(unknown_key()));
        assert!(matches!(
            known.look_up(&hash(1), Instant::now()),
            Some(Err(_))
        ));
    }
}
