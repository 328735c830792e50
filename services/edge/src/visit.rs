//! One request, from when it comes until it is answered: where it comes from, who asks for what, and what it is counted
//! on. It is an extension of the request, which whoever learns something adds to.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{Extensions, HeaderMap};
use parking_lot::Mutex;

use crate::auth::Bearer;
use crate::limits::{Limits, Subject, Verdict};
use crate::problem::Problem;

/// A request. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Visit(Arc<Inner>);

#[derive(Default)]
struct Inner {
    limits: Limits,
    address: Option<IpAddr>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    counted: Counted,
    method: Option<String>,
    caller: Option<Arc<Bearer>>,
}

/// What a request is counted on.
#[derive(Clone, Copy, Default)]
enum Counted {
    /// Nothing so far.
    #[default]
    Open,
    /// Nothing at all.
    Free,
    /// An address. None where that has no limit.
    Address(Option<Verdict>),
    /// A caller. None where that has no limit.
    Caller(Option<Verdict>),
}

impl Visit {
    /// Somebody comes from an address.
    pub(crate) fn new(limits: Limits, address: Option<IpAddr>) -> Self {
        Self(Arc::new(Inner {
            limits,
            address,
            seen: Mutex::default(),
        }))
    }

    /// The one that a request belongs to.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Where it comes from.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// What it is for: the contract's method by its path, or the pattern of a path that no contract has.
    pub(crate) fn set_method(&self, method: &str) {
        self.0.seen.lock().method = Some(method.to_owned());
    }

    /// What [`Self::set_method`] has said.
    pub(crate) fn method(&self) -> Option<String> {
        self.0.seen.lock().method.clone()
    }

    /// Whoever calls, once that is known.
    pub(crate) fn caller(&self) -> Option<Arc<Bearer>> {
        self.0.seen.lock().caller.clone()
    }

    /// Nobody's: probes, and what shows by itself that it is meant to come.
    pub(crate) fn set_free(&self) {
        self.0.seen.lock().counted = Counted::Free;
    }

    /// Counts it on its address, unless it is counted already.
    ///
    /// # Errors
    /// A 429 [`Problem`] when there is no room.
    pub(crate) async fn count_stranger(&self) -> Result<(), Problem> {
        let is_open = matches!(self.0.seen.lock().counted, Counted::Open);
        if !is_open {
            return Ok(());
        }
        let verdict = self.0.limits.take(&self.place()).await;
        self.0.seen.lock().counted = Counted::Address(verdict);
        verdict.map_or(Ok(()), |verdict| verdict.check())
    }

    /// Counts it on its caller, and on its address no longer.
    ///
    /// # Errors
    /// A 429 [`Problem`] when there is no room.
    pub(crate) async fn count_caller(&self, bearer: &Arc<Bearer>) -> Result<(), Problem> {
        self.0.seen.lock().caller = Some(Arc::clone(bearer));
        self.forgive().await;
        let verdict = self.0.limits.take(&bearer.subject()).await;
        self.0.seen.lock().counted = Counted::Caller(verdict);
        verdict.map_or(Ok(()), |verdict| verdict.check())
    }

    /// Counts it on nobody: it has shown that it is no stranger's.
    pub(crate) async fn forgive(&self) {
        let before = std::mem::replace(&mut self.0.seen.lock().counted, Counted::Free);
        if let Counted::Address(Some(_)) = before {
            self.0.limits.give_back(&self.place()).await;
        }
    }

    /// Whom a line in the log is thinned for: the caller, else the address.
    pub(crate) fn subject(&self) -> Subject {
        self.caller()
            .map_or_else(|| self.place(), |caller| caller.subject())
    }

    /// Says in an answer what the limit is, and what is left of it.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let counted = self.0.seen.lock().counted;
        if let Counted::Address(Some(verdict)) | Counted::Caller(Some(verdict)) = counted {
            verdict.write(headers);
        }
    }

    fn place(&self) -> Subject {
        Subject::Address(self.0.address)
    }
}
