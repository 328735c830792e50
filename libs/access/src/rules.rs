//! Which workloads may call a method, and what it wants of the caller.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use prost::Message;
use prost_types::FileDescriptorSet;

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

/// What one method wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The full path: `/kinora.scheduler.v1.VideoService/CreateVideo`.
    pub method: &'static str,
    /// The services of this mesh that may call it.
    pub workloads: &'static [&'static str],
    /// The person or program that must be behind the call.
    pub caller: Wanted,
}

/// Whom a method wants behind a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The workload calls for itself.
    Nobody,
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

impl Rule {
    /// For calls that a workload makes for itself.
    #[must_use]
    pub const fn nobody(method: &'static str, workloads: &'static [&'static str]) -> Self {
        Self {
            method,
            workloads,
            caller: Wanted::Nobody,
        }
    }

    /// For callers with this scope.
    #[must_use]
    pub const fn user(
        method: &'static str,
        workloads: &'static [&'static str],
        scope: Scope,
    ) -> Self {
        Self {
            method,
            workloads,
            caller: Wanted::User {
                scope,
                needs_terms: false,
                fresh: Freshness::Any,
                first_password: false,
            },
        }
    }

    /// For those alone who have accepted the terms that are in force.
    #[must_use]
    pub const fn with_terms(mut self) -> Self {
        if let Wanted::User { needs_terms, .. } = &mut self.caller {
            *needs_terms = true;
        }
        self
    }

    /// For those alone who have shown a credential in the last ten minutes.
    #[must_use]
    pub const fn freshly(mut self) -> Self {
        if let Wanted::User { fresh, .. } = &mut self.caller {
            *fresh = Freshness::Always;
        }
        self
    }

    /// For those alone who have shown a credential in the last ten minutes, and for keys.
    #[must_use]
    pub const fn freshly_in_sessions(mut self) -> Self {
        if let Wanted::User { fresh, .. } = &mut self.caller {
            *fresh = Freshness::InSessions;
        }
        self
    }

    /// Also for those who have a first password, which others know: what it takes to change it.
    #[must_use]
    pub const fn with_first_password(mut self) -> Self {
        if let Wanted::User { first_password, .. } = &mut self.caller {
            *first_password = true;
        }
        self
    }
}

impl Wanted {
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
pub(crate) struct Method {
    pub(crate) rule: Rule,
    /// Whether it answers with a stream.
    pub(crate) is_streaming: bool,
}

/// Methods by path, each that is served with its rule.
pub(crate) fn complete(
    descriptors: &[u8],
    services: &[&str],
    rules: &[Rule],
) -> Result<HashMap<&'static str, Method>, RulesError> {
    let methods = methods_of(descriptors, services)?;
    let mut problems = Vec::new();
    let mut table: BTreeMap<&'static str, Method> = BTreeMap::new();
    for &rule in rules {
        let method = rule.method;
        let is_streaming = methods.get(method).copied().unwrap_or_else(|| {
            problems.push(format!("`{method}` has a rule and is not served"));
            false
        });
        if rule.workloads.is_empty() {
            problems.push(format!("no workload may call `{method}`"));
        }
        if table
            .insert(method, Method { rule, is_streaming })
            .is_some()
        {
            problems.push(format!("`{method}` has two rules"));
        }
    }
    let without = methods
        .keys()
        .filter(|method| !table.contains_key(method.as_str()));
    problems.extend(without.map(|method| format!("`{method}` has no rule")));
    if problems.is_empty() {
        Ok(table.into_iter().collect())
    } else {
        Err(RulesError { problems })
    }
}

/// The paths of all methods of these services, and whether they answer with a stream.
fn methods_of(descriptors: &[u8], services: &[&str]) -> Result<BTreeMap<String, bool>, RulesError> {
    let problem = |text: String| RulesError {
        problems: vec![text],
    };
    let set = FileDescriptorSet::decode(descriptors)
        .map_err(|error| problem(format!("the descriptors cannot be read: {error}")))?;
    let mut methods = BTreeMap::new();
    let mut missing: BTreeSet<&str> = services.iter().copied().collect();
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            if missing.remove(name.as_str()) {
                let of_service = service.method.iter().map(|method| {
                    let path = format!("/{name}/{}", method.name());
                    (path, method.server_streaming())
                });
                methods.extend(of_service);
            }
        }
    }
    match missing.first() {
        Some(name) => Err(problem(format!("`{name}` is no service"))),
        None => Ok(methods),
    }
}

#[cfg(test)]
mod tests {
    use kinora_proto::DESCRIPTORS;

    use super::*;

    const TRUST: &str = "kinora.accounts.v1.TrustService";
    const GET_TRUST: Rule = Rule::nobody("/kinora.accounts.v1.TrustService/GetTrust", &["edge"]);

    #[track_caller]
    fn check(rules: &[Rule], services: &[&str], problem: &str) {
        let error = complete(DESCRIPTORS, services, rules).expect_err("not complete");
        assert!(error.to_string().contains(problem), "{error}");
    }

    #[test]
    fn each_method_has_exactly_one_rule() {
        let table = complete(DESCRIPTORS, &[TRUST], &[GET_TRUST]).expect("complete");
        let method = Method {
            rule: GET_TRUST,
            is_streaming: false,
        };
        assert_eq!(table[GET_TRUST.method], method);
        check(
            &[],
            &[TRUST],
            "`/kinora.accounts.v1.TrustService/GetTrust` has no rule",
        );
        check(&[GET_TRUST, GET_TRUST], &[TRUST], "has two rules");
        let other = Rule::nobody("/kinora.accounts.v1.TrustService/Get", &["edge"]);
        check(
            &[GET_TRUST, other],
            &[TRUST],
            "has a rule and is not served",
        );
        let nobody = Rule::nobody(GET_TRUST.method, &[]);
        check(&[nobody], &[TRUST], "no workload may call");
        check(
            &[GET_TRUST],
            &[TRUST, "kinora.Nothing"],
            "`kinora.Nothing` is no service",
        );
    }

    #[test]
    fn methods_that_answer_with_a_stream_are_known() {
        let attach = Rule::nobody("/kinora.scheduler.v1.WorkerService/Attach", &["worker"]);
        let services = ["kinora.scheduler.v1.WorkerService"];
        let table = complete(DESCRIPTORS, &services, &[attach]).expect("complete");
        assert!(table[attach.method].is_streaming);
    }
}
