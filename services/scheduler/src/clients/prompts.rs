//! The prompts service, as far as the scheduler uses it: whether prompts may be generated, and what models get of them.

mod convert;

use std::time::Duration;

use kinora_proto::prompts::v1 as pb;
use kinora_proto::prompts::v1::prompt_service_client::PromptServiceClient;
use tonic::transport::Channel;

use super::call::{self, Answer, CallError, Token, read};
use crate::domain::prompting::{Answered, PromptOrder};

/// Moderates prompts and rewrites them.
pub trait Prompts: Send + Sync {
    /// Takes up to 128 prompts of whoever `caller` is, and answers in their order. Those that need review are put into the
    /// queue, where equal ones of one person are one entry: the call may be repeated.
    fn prepare<'a>(
        &'a self,
        caller: &'a Token,
        orders: &'a [PromptOrder],
    ) -> Answer<'a, Vec<Answered>>;
}

/// The service at the other end of a channel.
#[derive(Clone, Debug)]
pub struct MeshPrompts {
    client: PromptServiceClient<Channel>,
    timeout: Duration,
}

impl MeshPrompts {
    /// Calls over `channel`, each within `timeout`.
    #[must_use]
    pub fn new(channel: Channel, timeout: Duration) -> Self {
        Self {
            client: PromptServiceClient::new(channel),
            timeout,
        }
    }

    async fn one(&self, caller: &Token, order: &PromptOrder) -> Result<Vec<Answered>, CallError> {
        let message = convert::order_to_pb(order);
        let request = call::request(Some(caller), self.timeout, message);
        let answer = read(self.client.clone().prepare(request).await)?;
        convert::answers_for(
            std::slice::from_ref(order),
            answer.prompt.into_iter().collect(),
        )
    }

    async fn several(
        &self,
        caller: &Token,
        orders: &[PromptOrder],
    ) -> Result<Vec<Answered>, CallError> {
        let requests = orders.iter().map(convert::order_to_pb).collect();
        let message = pb::BatchPrepareRequest { requests };
        let request = call::request(Some(caller), self.timeout, message);
        let answer = read(self.client.clone().batch_prepare(request).await)?;
        convert::answers_for(orders, answer.prompts)
    }
}

impl Prompts for MeshPrompts {
    fn prepare<'a>(
        &'a self,
        caller: &'a Token,
        orders: &'a [PromptOrder],
    ) -> Answer<'a, Vec<Answered>> {
        let late = "prompts did not answer in time";
        Box::pin(async move {
            match orders {
                [] => Ok(Vec::new()),
                [one] => call::within(self.timeout, late, self.one(caller, one)).await,
                several => call::within(self.timeout, late, self.several(caller, several)).await,
            }
        })
    }
}
