//! What tokens are checked against, and how a service keeps it fresh.

mod keeper;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::trust_service_client::TrustServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::claims::Claims;

pub(crate) use keeper::News;
pub use keeper::{MAX_AGE, POLL_INTERVAL, TrustKeeper};

/// An answer that takes longer is as good as none.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// More than a bundle ever needs: some two hundred thousand ended sessions.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The keys that sign tokens, the terms that are in force, and what has ended lately.
#[derive(Clone, Default)]
pub struct TrustBundle {
    revision: String,
    keys: HashMap<String, VerifyingKey>,
    terms_version: u32,
    ended: HashMap<Uuid, i64>,
}

/// What ends a token before its time: the end of these since then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    session: Uuid,
    subject: Uuid,
    /// Unix time in seconds.
    issued: i64,
}

impl From<&Claims> for Standing {
    fn from(claims: &Claims) -> Self {
        Self {
            session: claims.sid,
            subject: claims.sub,
            issued: claims.iat,
        }
    }
}

/// A bundle that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A public key is no point of the curve, or has no 32 bytes.
    #[error("`{0}` is no Ed25519 key")]
    Key(String),
    /// An id is no UUID.
    #[error("`{0}` is no id")]
    Id(String),
}

impl TrustBundle {
    /// Reads a bundle and parses its keys.
    ///
    /// # Errors
    /// [`BundleError`] names the first part that cannot be read.
    pub fn read(revision: String, trust: pb::Trust) -> Result<Self, BundleError> {
        let keys = trust
            .keys
            .into_iter()
            .map(read_key)
            .collect::<Result<_, _>>()?;
        let mut ended: HashMap<Uuid, i64> = HashMap::with_capacity(trust.ended.len());
        for pb::Ended { id, end_time } in trust.ended {
            let id = id.parse().map_err(|_| BundleError::Id(id))?;
            let known = ended.entry(id).or_insert(end_time);
            *known = (*known).max(end_time);
        }
        Ok(Self {
            revision,
            keys,
            terms_version: trust.terms_version,
            ended,
        })
    }

    /// Changes whenever anything else here does.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The version of the terms of use that generating calls need. 0 while there are none.
    #[must_use]
    pub const fn terms_version(&self) -> u32 {
        self.terms_version
    }

    pub(crate) fn key(&self, id: &str) -> Option<&VerifyingKey> {
        self.keys.get(id)
    }

    /// Whether the session, the key or the subject of a token has ended since it was issued.
    pub(crate) fn has_ended(&self, standing: &Standing) -> bool {
        let is_over = |id: &Uuid| {
            self.ended
                .get(id)
                .is_some_and(|&end| standing.issued <= end)
        };
        is_over(&standing.session) || is_over(&standing.subject)
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("revision", &self.revision)
            .field("keys", &self.keys.keys())
            .field("terms_version", &self.terms_version)
            .field("ended", &self.ended.len())
            .finish()
    }
}

fn read_key(key: pb::VerifyingKey) -> Result<(String, VerifyingKey), BundleError> {
    let pb::VerifyingKey { id, public_key } = key;
    let parsed = VerifyingKey::try_from(&public_key[..]).ok();
    match parsed.filter(|key| !key.is_weak()) {
        Some(key) => Ok((id, key)),
        None => Err(BundleError::Key(id)),
    }
}

/// Where a bundle comes from: the accounts service over gRPC, or, in that service, what it knows itself.
#[tonic::async_trait]
pub trait TrustSource: Send + Sync + 'static {
    /// The newest bundle, or no bundle when `request` names its revision.
    ///
    /// # Errors
    /// Any status: the keeper goes on with what it has and asks again.
    async fn get_trust(&self, request: pb::GetTrustRequest)
    -> Result<pb::GetTrustResponse, Status>;
}

/// The accounts service at the other end of a channel.
#[derive(Clone, Debug)]
pub struct GrpcTrust {
    client: TrustServiceClient<Channel>,
}

impl GrpcTrust {
    /// Asks over `channel`.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        let client = TrustServiceClient::new(channel);
        Self {
            client: client.max_decoding_message_size(MAX_ANSWER_BYTES),
        }
    }
}

#[tonic::async_trait]
impl TrustSource for GrpcTrust {
    async fn get_trust(
        &self,
        request: pb::GetTrustRequest,
    ) -> Result<pb::GetTrustResponse, Status> {
        let mut request = Request::new(request);
        request.set_timeout(CALL_TIMEOUT);
        let answer = self.client.clone().get_trust(request).await?;
        Ok(answer.into_inner())
    }
}
