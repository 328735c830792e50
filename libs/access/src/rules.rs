//! Which workloads may call a method, and what it wants of the caller.
//!
//! What a method wants stands in its contract, as the option `kinora.access.v1.rule`; [`wanted`] reads it. Which workloads
//! may call it is known to the service that serves it, as its [`Callers`].

mod contract;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

pub use self::contract::wanted;
use self::contract::{Contract, Declared};
use crate::caller::Caller;
use crate::claims::Scope;
use crate::error::Refusal;

/// How long ago a credential may have been shown for calls that want it fresh, in seconds.
pub const FRESH_SECONDS: i64 = 10 * 60;

/// Of whom a method wants credentials that were shown in the last ten minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Of nobody.
    Any,
    /// Of people in sessions. A key, which shows no credential, needs none.
    InSessions,
    /// Of everybody: keys may not call it.
    Always,
}

impl Freshness {
    /// Whether the credentials of a caller are as fresh as this wants, at `now` (Unix time in seconds).
    fn admits(self, caller: &Caller, now: i64) -> bool {
        let is_fresh = caller.auth_time >= now.saturating_sub(FRESH_SECONDS);
        match self {
            Self::Any => true,
            Self::InSessions => is_fresh || caller.is_key(),
            Self::Always => is_fresh,
        }
    }
}

/// Whom a method wants behind a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nobody: the workload calls for itself.
    Workload,
    /// Whoever it is, strangers too.
    Anybody,
    /// Somebody with a token.
    User {
        /// What the token must be good for.
        scope: Scope,
        /// Whether the terms that are in force must have been accepted.
        needs_terms: bool,
        /// Whether credentials must have been shown in the last ten minutes.
        fresh: Freshness,
        /// Whether callers may call it who have a first password to change.
        first_password: bool,
    },
}

impl Wanted {
    /// Whether a token is wanted at all.
    #[must_use]
    pub const fn is_user(self) -> bool {
        matches!(self, Self::User { .. })
    }

    /// Whether a caller is wanted, and whether this one will do, at `now` (Unix time in seconds).
    pub(crate) fn admit(self, caller: &Caller, terms: u32, now: i64) -> Result<(), Refusal> {
        let Self::User {
            scope,
            needs_terms,
            fresh,
            first_password,
        } = self
        else {
            return Ok(());
        };
        if !caller.may(scope) {
            return Err(Refusal::Scope(scope));
        }
        if caller.must_change_password && !first_password {
            return Err(Refusal::PasswordChange);
        }
        if !fresh.admits(caller, now) {
            return Err(Refusal::StepUp);
        }
        if needs_terms && caller.terms_version < terms {
            return Err(Refusal::Terms(terms));
        }
        Ok(())
    }
}

/// Services of the mesh, by their names.
pub type Workloads = &'static [&'static str];

/// The workloads that may call a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callers {
    service: &'static str,
    workloads: Workloads,
    except: &'static [(&'static str, Workloads)],
}

impl Callers {
    /// All methods of `service`, a full name, may be called by `workloads`.
    #[must_use]
    pub const fn new(service: &'static str, workloads: Workloads) -> Self {
        Self {
            service,
            workloads,
            except: &[],
        }
    }

    /// But these methods, by their names, may be called by those beside them, and by no others.
    #[must_use]
    pub const fn except(mut self, methods: &'static [(&'static str, Workloads)]) -> Self {
        self.except = methods;
        self
    }

    /// The full names of the services.
    #[must_use]
    pub const fn services<const N: usize>(all: &[Self; N]) -> [&'static str; N] {
        let mut names = [""; N];
        let mut index = 0;
        while index < N {
            names[index] = all[index].service;
            index += 1;
        }
        names
    }

    /// Who may call a method, by its name.
    fn of(&self, method: &str) -> Workloads {
        let mut except = self.except.iter();
        let found = except.find(|(name, _)| *name == method);
        found.map_or(self.workloads, |(_, workloads)| workloads)
    }

    /// What is wrong with the exceptions, for these methods of the service.
    fn problems(&self, methods: &[Declared]) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, (name, _)) in self.except.iter().enumerate() {
            let is_served = methods.iter().any(|method| method.name == *name);
            if !is_served {
                problems.push(format!("`{}` has no method `{name}`", self.service));
            }
            let mut before = self.except.iter().take(index);
            if before.any(|(other, _)| other == name) {
                problems.push(format!("`{}/{name}` is named twice", self.service));
            }
        }
        problems
    }
}

/// The rules of a service do not fit its methods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RulesError {
    problems: Vec<String>,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the access rules are not complete: {}",
            self.problems.join("; ")
        )
    }
}

/// A method that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// The services of this mesh that may call it.
    pub workloads: Workloads,
    /// The person or program that must be behind the call.
    pub wanted: Wanted,
    /// Whether it answers with a stream.
    pub is_streaming: bool,
}

/// The methods of all services that `callers` names, by their full paths: `/kinora.scheduler.v1.VideoService/CreateVideo`.
///
/// # Errors
/// [`RulesError`] names every method whose contract does not say what it wants, every one that no workload may call, and
/// whatever is named and not there, or named twice.
pub fn methods(
    descriptors: &[u8],
    callers: &[Callers],
) -> Result<HashMap<String, Method>, RulesError> {
    let contract = Contract::read(descriptors)?;
    let mut problems = Vec::new();
    let mut by_service: BTreeMap<&str, &Callers> = BTreeMap::new();
    let mut table = HashMap::new();
    for callers in callers {
        let service = callers.service;
        if by_service.insert(service, callers).is_some() {
            problems.push(format!("`{service}` is named twice"));
        }
        let methods = contract.methods_of(service, &mut problems);
        problems.extend(callers.problems(&methods));
        for method in methods {
            let path = format!("/{service}/{}", method.name);
            let workloads = callers.of(&method.name);
            if workloads.is_empty() {
                problems.push(format!("no workload may call `{path}`"));
            }
            let method = Method {
                workloads,
                wanted: method.wanted,
                is_streaming: method.is_streaming,
            };
            table.insert(path, method);
        }
    }
    RulesError::unless_none(problems).map(|()| table)
}

impl RulesError {
    fn unless_none(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self { problems })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{SERVICE, contract};
    use super::*;

    const EDGE: Workloads = &["edge"];
    const ALL: Callers = Callers::new(SERVICE, EDGE);

    #[track_caller]
    fn check(callers: &[Callers], problem: &str) {
        let contract = contract(
            "rpc One(M) returns (M) { option (kinora.access.v1.rule).anybody = {}; }
             rpc Two(M) returns (M) { option (kinora.access.v1.rule).workload = {}; }",
        );
        let error = methods(&contract, callers).expect_err("not complete");
        assert!(error.to_string().contains(problem), "{error}");
    }

    #[test]
    fn each_method_has_what_its_contract_wants_and_who_may_bring_it() {
        let contract = contract(
            "rpc One(M) returns (M) { option (kinora.access.v1.rule).anybody = {}; }
             rpc Two(stream M) returns (stream M) { option (kinora.access.v1.rule).workload = {}; }",
        );
        let callers = ALL.except(&[("Two", &["worker"])]);
        let table = methods(&contract, &[callers]).expect("complete");
        assert_eq!(table.len(), 2);
        let one = Method {
            workloads: EDGE,
            wanted: Wanted::Anybody,
            is_streaming: false,
        };
        assert_eq!(table["/t.S/One"], one);
        let two = Method {
            workloads: &["worker"],
            wanted: Wanted::Workload,
            is_streaming: true,
        };
        assert_eq!(table["/t.S/Two"], two);
    }

    #[test]
    fn nothing_is_left_out_and_nothing_is_named_in_vain() {
        check(&[Callers::new(SERVICE, &[])], "may call `/t.S/One`");
        check(&[ALL.except(&[("Two", &[])])], "may call `/t.S/Two`");
        let three = ALL.except(&[("Three", EDGE)]);
        check(&[three], "`t.S` has no method `Three`");
        let twice = ALL.except(&[("Two", EDGE), ("Two", &["worker"])]);
        check(&[twice], "`t.S/Two` is named twice");
        check(&[ALL, ALL], "`t.S` is named twice");
        let nothing = Callers::new("t.Nothing", EDGE);
        check(&[ALL, nothing], "`t.Nothing` is no service");
    }

    #[test]
    fn services_are_those_that_have_callers() {
        const NAMES: [&str; 2] = Callers::services(&[ALL, Callers::new("t.T", EDGE)]);
        assert_eq!(NAMES, [SERVICE, "t.T"]);
    }
}
