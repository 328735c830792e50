//! Calls to billing: measured, told to callers as they should see them, and not made for a moment after it was away.

use std::sync::Arc;
use std::time::Duration;

use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clients::call::{CallError, Token};
use crate::clients::ledger::{HoldPage, Ledger, Quote};
use crate::domain::hold::{Due, JobWork, OpenHold, Work};
use crate::domain::job::Time;
use crate::error::Error;
use crate::metrics::{Called, Metrics};

/// Billing is not asked again for so long after it was away: callers learn that at once, instead of waiting for it one
/// after the other.
const REST: Duration = Duration::from_secs(1);

/// Billing, as the use cases see it.
pub(super) struct Billing {
    ledger: Arc<dyn Ledger>,
    metrics: Metrics,
    rests_until: Mutex<Option<Instant>>,
}

impl Billing {
    pub(super) fn new(ledger: Arc<dyn Ledger>, metrics: Metrics) -> Self {
        Self {
            ledger,
            metrics,
            rests_until: Mutex::new(None),
        }
    }

    /// Whether it was away a moment ago.
    pub(super) fn is_resting(&self) -> bool {
        let until = *self.rests_until.lock();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Fails while it rests.
    ///
    /// # Errors
    /// [`Error::BillingUnavailable`].
    pub(super) fn check_awake(&self) -> Result<(), Error> {
        if self.is_resting() {
            return Err(Error::BillingUnavailable);
        }
        Ok(())
    }

    /// What works would cost.
    ///
    /// # Errors
    /// [`Error::Billing`], [`Error::BillingUnavailable`].
    pub(super) async fn estimate(&self, caller: &Token, works: &[Work]) -> Result<Quote, Error> {
        self.check_awake()?;
        let answer = self.measured("estimate", self.ledger.estimate(caller, works));
        answer.await.map_err(for_caller)
    }

    /// Sets credits aside for jobs, for all or for none.
    ///
    /// # Errors
    /// [`Error::Billing`] when nothing was set aside; [`Error::BillingUnavailable`] when that is not known.
    pub(super) async fn hold(
        &self,
        caller: &Token,
        jobs: &[JobWork],
    ) -> Result<Vec<OpenHold>, Error> {
        let answer = self.measured("hold", self.ledger.hold(caller, jobs));
        answer.await.map_err(for_caller)
    }

    /// Ends a job's hold as it is due.
    pub(super) async fn settle(&self, job: JobId, due: Due) -> Result<(), CallError> {
        match due {
            Due::Capture { lease, credits } => {
                let capture = self.ledger.capture(job, lease, credits);
                self.measured("capture", capture).await
            }
            Due::Release => self.measured("release", self.ledger.release(job)).await,
        }
    }

    /// Puts off the end of up to 1000 holds.
    pub(super) async fn renew(&self, jobs: &[JobId]) -> Result<(), CallError> {
        self.measured("renew", self.ledger.renew(jobs)).await
    }

    /// Holds that were made before a time and are open.
    pub(super) async fn open_holds(
        &self,
        made_before: Time,
        page_token: &str,
    ) -> Result<HoldPage, CallError> {
        let page = self.ledger.open_holds(made_before, page_token);
        self.measured("list", page).await
    }

    async fn measured<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let began = Instant::now();
        let answer = call.await;
        let how = match &answer {
            Ok(_) => Called::Answered,
            Err(CallError::Refused(_)) => Called::Refused,
            Err(CallError::Away(_)) => Called::Failed,
        };
        self.metrics.billing_called(method, how, began.elapsed());
        let rests = how == Called::Failed;
        *self.rests_until.lock() = rests.then(|| Instant::now() + REST);
        answer
    }
}

/// What a caller is told. What is between the services is no concern of theirs.
fn for_caller(error: CallError) -> Error {
    match error {
        CallError::Refused(refused) if concerns_caller(&refused) => Error::Billing(refused),
        CallError::Refused(refused) => {
            tracing::error!(reason = refused.reason, "billing does not take the call");
            Error::BillingUnavailable
        }
        CallError::Away(away) => {
            tracing::warn!(reason = away.reason, "billing is away");
            Error::BillingUnavailable
        }
    }
}

/// A token that was good a moment ago may have ended since. One that billing does not take otherwise is none that this
/// service should have sent on.
fn concerns_caller(refused: &PublicError) -> bool {
    match refused.kind {
        Kind::FailedPrecondition | Kind::ResourceExhausted => true,
        Kind::Unauthenticated => ["TOKEN_EXPIRED", "TOKEN_REVOKED"].contains(&&*refused.reason),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic::transport::Channel;

    use super::*;
    use crate::clients::ledger::MeshLedger;

    fn refused(kind: Kind, reason: &str) -> Error {
        for_caller(CallError::Refused(PublicError::new(kind, reason, "no")))
    }

    #[test]
    fn callers_see_what_concerns_them_and_nothing_else() {
        for (kind, reason) in [
            (Kind::ResourceExhausted, "INSUFFICIENT_CREDITS"),
            (Kind::FailedPrecondition, "PAYER_FROZEN"),
            (Kind::Unauthenticated, "TOKEN_EXPIRED"),
        ] {
            let told = PublicError::from(refused(kind, reason));
            assert_eq!((told.kind, told.reason.as_str()), (kind, reason));
        }
        for (kind, reason) in [
            (Kind::PermissionDenied, "WORKLOAD_REFUSED"),
            (Kind::Unauthenticated, "TOKEN_INVALID"),
            (Kind::AlreadyExists, "HOLD_CONFLICT"),
            (Kind::InvalidArgument, "WORK_INVALID"),
        ] {
            let told = PublicError::from(refused(kind, reason));
            assert_eq!(told.kind, Kind::Unavailable);
            assert_eq!(told.reason, "BILLING_UNAVAILABLE");
            assert!(told.retry_after.is_some());
        }
    }

    /// With a ledger that no test here calls.
    #[expect(clippy::disallowed_methods, reason = "nothing is sent over it")]
    fn billing() -> Billing {
        let channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
        let ledger = MeshLedger::new(channel, Duration::from_secs(1));
        Billing::new(Arc::new(ledger), Metrics::global())
    }

    fn error() -> PublicError {
        PublicError::new(Kind::Unavailable, "AWAY", "nobody is there")
    }

    #[tokio::test(start_paused = true)]
    async fn billing_that_was_away_is_left_alone_for_a_moment() {
        let billing = billing();
        assert!(billing.check_awake().is_ok());
        let away = async { Err::<(), _>(CallError::Away(error())) };
        assert!(billing.measured("hold", away).await.is_err());
        tokio::time::advance(REST - Duration::from_millis(1)).await;
        assert!(matches!(
            billing.check_awake(),
            Err(Error::BillingUnavailable)
        ));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(billing.check_awake().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn billing_that_says_no_is_there() {
        let billing = billing();
        let refused = async { Err::<(), _>(CallError::Refused(error())) };
        assert!(billing.measured("hold", refused).await.is_err());
        assert!(billing.check_awake().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_rest() {
        let billing = billing();
        let away = async { Err::<(), _>(CallError::Away(error())) };
        assert!(billing.measured("hold", away).await.is_err());
        assert!(billing.measured("capture", async { Ok(()) }).await.is_ok());
        assert!(billing.check_awake().is_ok());
    }
}
