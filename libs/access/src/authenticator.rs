//! Checks a token against the present trust bundle.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::caller::Caller;
use crate::error::Refusal;
use crate::rules::Wanted;
use crate::token::{Unverified, Verifier};
use crate::trust::{Standing, TrustBundle, TrustKeeper};

/// Who calls, by token. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator {
    verifier: Arc<Verifier>,
    trust: Arc<TrustKeeper>,
}

/// A token that was good.
pub(crate) struct Checked {
    pub(crate) caller: Caller,
    pub(crate) standing: Standing,
    /// By what it was good.
    pub(crate) bundle: Arc<TrustBundle>,
    /// When it was looked at.
    pub(crate) at: Instant,
}

impl Authenticator {
    /// Checks with `verifier` against what `trust` keeps.
    #[must_use]
    pub fn new(verifier: Verifier, trust: Arc<TrustKeeper>) -> Self {
        Self {
            verifier: Arc::new(verifier),
            trust,
        }
    }

    /// The caller behind a token.
    ///
    /// # Errors
    /// [`Refusal::Token`] or [`Refusal::TrustUnavailable`].
    pub async fn authenticate(&self, token: &str) -> Result<Caller, Refusal> {
        Ok(self.check(token).await?.caller)
    }

    /// Whether a caller, whose token was good a moment ago, is one whom a method wants.
    ///
    /// # Errors
    /// The [`Refusal`] of the service that has the method, or [`Refusal::TrustUnavailable`].
    pub async fn admit(&self, caller: &Caller, wanted: Wanted) -> Result<(), Refusal> {
        let bundle = self.trust.bundle().await?;
        wanted.admit(caller, bundle.terms_version(), unix_now())
    }

    /// The caller, and by what the token was good.
    pub(crate) async fn check(&self, token: &str) -> Result<Checked, Refusal> {
        let token = Unverified::parse(token)?;
        let bundle = self.trust.bundle_with_key(token.key_id()).await?;
        let at = Instant::now();
        let claims = self.verifier.check(&token, &bundle, unix_now())?;
        let standing = Standing::from(&claims);
        Ok(Checked {
            caller: claims.into(),
            standing,
            bundle,
            at,
        })
    }

    pub(crate) fn trust(&self) -> &TrustKeeper {
        &self.trust
    }
}

/// Unix time in seconds by this machine's clock.
pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
