//! Billing's ledger, as far as the scheduler uses it: what jobs cost, and the credits that are set aside for them.

mod convert;

use std::time::Duration;

use kinora_ids::JobId;
use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::ledger_service_client::LedgerServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::call::{self, Answer, CallError, Token, read};
use crate::domain::hold::{JobWork, OpenHold, Work};
use crate::domain::job::Time;

/// A hold is asked for again after so long when billing is away, as it is for a moment when it restarts. The same jobs
/// get the same holds, however often they are asked for.
const HOLD_RETRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// What jobs would cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quote {
    /// All of them together.
    pub credits: u64,
    /// What the payer can spend.
    pub available: u64,
    /// Why a hold would be refused. None when it would not.
    pub refusal: Option<String>,
}

/// Some of the holds that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldPage {
    /// Oldest first.
    pub holds: Vec<OpenHold>,
    /// Empty when there are no more.
    pub next_page_token: String,
}

/// The ledger. Every call may be repeated: what was done is not done again.
pub trait Ledger: Send + Sync {
    /// What works would cost whoever pays for `caller`. Changes nothing.
    fn estimate<'a>(&'a self, caller: &'a Token, works: &'a [Work]) -> Answer<'a, Quote>;

    /// Sets credits aside for jobs, for all or for none. Answers in their order.
    fn hold<'a>(&'a self, caller: &'a Token, jobs: &'a [JobWork]) -> Answer<'a, Vec<OpenHold>>;

    /// Takes `credits` of a job's hold, whose clip was delivered under `lease`, and gives back the rest.
    fn capture(&self, job: JobId, lease: u64, credits: u64) -> Answer<'_, ()>;

    /// Gives a job's hold back, if it has one.
    fn release(&self, job: JobId) -> Answer<'_, ()>;

    /// Puts off the end of up to 1000 holds.
    fn renew<'a>(&'a self, jobs: &'a [JobId]) -> Answer<'a, ()>;

    /// Holds that were made before a time and are open.
    fn open_holds<'a>(&'a self, made_before: Time, page_token: &'a str) -> Answer<'a, HoldPage>;
}

/// The ledger at the other end of a channel.
#[derive(Clone, Debug)]
pub struct MeshLedger {
    client: LedgerServiceClient<Channel>,
    timeout: Duration,
}

impl MeshLedger {
    /// Calls over `channel`, each within `timeout`.
    #[must_use]
    pub fn new(channel: Channel, timeout: Duration) -> Self {
        Self {
            client: LedgerServiceClient::new(channel),
            timeout,
        }
    }

    fn request<T>(&self, caller: Option<&Token>, message: T) -> Request<T> {
        call::request(caller, self.timeout, message)
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        call::within(self.timeout, "billing did not answer in time", call).await
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CallError> {
        let call = async { read(call.await) };
        self.within(call).await
    }

    /// Asks until there is an answer, or it has been asked often enough.
    async fn hold_again(
        &self,
        caller: &Token,
        message: &pb::HoldRequest,
    ) -> Result<pb::HoldResponse, CallError> {
        let mut retries = HOLD_RETRIES.into_iter();
        loop {
            let request = self.request(Some(caller), message.clone());
            let answer = read(self.client.clone().hold(request).await);
            match (answer, retries.next()) {
                (Err(CallError::Away(_)), Some(delay)) => tokio::time::sleep(delay).await,
                (answer, _) => return answer,
            }
        }
    }
}

impl Ledger for MeshLedger {
    fn estimate<'a>(&'a self, caller: &'a Token, works: &'a [Work]) -> Answer<'a, Quote> {
        let works = works.iter().map(convert::work_to_pb).collect();
        let request = self.request(Some(caller), pb::EstimateRequest { works });
        Box::pin(async move {
            let answer = self.call(self.client.clone().estimate(request)).await?;
            Ok(Quote {
                credits: answer.total,
                available: answer.available,
                refusal: Some(answer.refusal).filter(|reason| !reason.is_empty()),
            })
        })
    }

    fn hold<'a>(&'a self, caller: &'a Token, jobs: &'a [JobWork]) -> Answer<'a, Vec<OpenHold>> {
        let message = pb::HoldRequest {
            jobs: jobs.iter().map(convert::job_work_to_pb).collect(),
        };
        Box::pin(async move {
            let answer = self.within(self.hold_again(caller, &message)).await?;
            convert::holds_for(jobs, answer.holds)
        })
    }

    fn capture(&self, job: JobId, lease: u64, credits: u64) -> Answer<'_, ()> {
        let message = pb::CaptureRequest {
            job_id: job.to_string(),
            lease,
            credits: Some(credits),
        };
        let request = self.request(None, message);
        Box::pin(async move {
            self.call(self.client.clone().capture(request)).await?;
            Ok(())
        })
    }

    fn release(&self, job: JobId) -> Answer<'_, ()> {
        let job_id = job.to_string();
        let request = self.request(None, pb::ReleaseRequest { job_id });
        Box::pin(async move {
            self.call(self.client.clone().release(request)).await?;
            Ok(())
        })
    }

    fn renew<'a>(&'a self, jobs: &'a [JobId]) -> Answer<'a, ()> {
        let job_ids = jobs.iter().map(ToString::to_string).collect();
        let request = self.request(None, pb::RenewHoldsRequest { job_ids });
        Box::pin(async move {
            self.call(self.client.clone().renew_holds(request)).await?;
            Ok(())
        })
    }

    fn open_holds<'a>(&'a self, made_before: Time, page_token: &'a str) -> Answer<'a, HoldPage> {
        let message = pb::ListOpenHoldsRequest {
            made_before: Some(convert::time_to_pb(made_before)),
            page_size: 0,
            page_token: page_token.to_owned(),
        };
        let request = self.request(None, message);
        Box::pin(async move {
            let answer = self
                .call(self.client.clone().list_open_holds(request))
                .await?;
            let holds = answer.holds.into_iter().filter_map(convert::hold_from_pb);
            Ok(HoldPage {
                holds: holds.collect(),
                next_page_token: answer.next_page_token,
            })
        })
    }
}

#[cfg(test)]
mod tests;
