//! What contracts say of callers: the option `kinora.access.v1.rule` of their methods.

use std::collections::HashMap;

use kinora_proto::access::v1 as pb;
use kinora_proto::access::v1::rule::Caller as Declaration;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use super::{Freshness, RulesError, Wanted};
use crate::claims::Scope;

const OPTION: &str = "kinora.access.v1.rule";

/// The contracts of some services.
pub(super) struct Contract(DescriptorPool);

/// A method as its contract has it.
pub(super) struct Declared {
    /// Without its service.
    pub(super) name: String,
    pub(super) wanted: Wanted,
    /// Whether it answers with a stream.
    pub(super) is_streaming: bool,
}

impl Contract {
    pub(super) fn read(descriptors: &[u8]) -> Result<Self, RulesError> {
        let pool = DescriptorPool::decode(descriptors).map_err(|error| RulesError {
            problems: vec![format!("the descriptors cannot be read: {error}")],
        })?;
        Ok(Self(pool))
    }

    /// The methods of a service, by its full name. What is wrong with them is added to `problems`.
    pub(super) fn methods_of(&self, service: &str, problems: &mut Vec<String>) -> Vec<Declared> {
        let Some(descriptor) = self.0.get_service_by_name(service) else {
            problems.push(format!("`{service}` is no service"));
            return Vec::new();
        };
        let mut methods = Vec::new();
        for method in descriptor.methods() {
            match wanted_by(&method) {
                Ok(wanted) => methods.push(Declared {
                    name: method.name().to_owned(),
                    wanted,
                    is_streaming: method.is_server_streaming(),
                }),
                Err(problem) => problems.push(format!("`/{service}/{}` {problem}", method.name())),
            }
        }
        methods
    }
}

/// What the methods of these services, full names, want of their callers, by their full paths.
///
/// # Errors
/// [`RulesError`] names every method whose contract does not say it, and what is no service.
pub fn wanted(
    descriptors: &[u8],
    services: &[&str],
) -> Result<HashMap<String, Wanted>, RulesError> {
    let contract = Contract::read(descriptors)?;
    let mut problems = Vec::new();
    let mut table = HashMap::new();
    for service in services {
        let methods = contract.methods_of(service, &mut problems);
        let of_service = methods
            .into_iter()
            .map(|method| (format!("/{service}/{}", method.name), method.wanted));
        table.extend(of_service);
    }
    RulesError::unless_none(problems).map(|()| table)
}

/// What a method wants, or what is wrong with how it says that. What this version does not know lets nobody in.
fn wanted_by(method: &MethodDescriptor) -> Result<Wanted, &'static str> {
    let rule = rule_of(method).ok_or("has no rule")?;
    match rule.caller {
        None => Err("has a rule that names no caller"),
        Some(Declaration::Workload(_)) => Ok(Wanted::Workload),
        Some(Declaration::Anybody(_)) => Ok(Wanted::Anybody),
        Some(Declaration::User(user)) => Ok(Wanted::User {
            scope: scope_of(&user).ok_or("wants no scope that there is")?,
            needs_terms: user.needs_terms,
            fresh: freshness_of(&user).ok_or("wants no freshness that there is")?,
            first_password: user.first_password,
        }),
    }
}

fn rule_of(method: &MethodDescriptor) -> Option<pb::Rule> {
    let extension = method.parent_pool().get_extension_by_name(OPTION)?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let rule = options.get_extension(&extension);
    rule.as_message()?.transcode_to().ok()
}

fn scope_of(user: &pb::User) -> Option<Scope> {
    match pb::Scope::try_from(user.scope).ok()? {
        pb::Scope::Unspecified => None,
        pb::Scope::VideosRead => Some(Scope::VideosRead),
        pb::Scope::VideosWrite => Some(Scope::VideosWrite),
        pb::Scope::Webhooks => Some(Scope::Webhooks),
        pb::Scope::Account => Some(Scope::Account),
        pb::Scope::Org => Some(Scope::Org),
        pb::Scope::Admin => Some(Scope::Admin),
    }
}

fn freshness_of(user: &pb::User) -> Option<Freshness> {
    match pb::Freshness::try_from(user.freshness).ok()? {
        pb::Freshness::Unspecified => Some(Freshness::Any),
        pb::Freshness::InSessions => Some(Freshness::InSessions),
        pb::Freshness::Always => Some(Freshness::Always),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{SERVICE, contract, contract_of};

    #[track_caller]
    fn check(rule: &str, expected: Wanted) {
        let table = wanted(&contract_of(rule), &[SERVICE]).expect("a rule");
        let methods = ["/t.S/Ask", "/t.S/Watch"].map(|path| table.get(path));
        assert_eq!(methods, [Some(&expected), Some(&expected)], "{rule}");
    }

    #[track_caller]
    fn check_wrong(methods: &str, services: &[&str], problem: &str) {
        let error = wanted(&contract(methods), services).expect_err("refused");
        assert!(error.to_string().contains(problem), "{error}");
    }

    fn user(scope: Scope, fresh: Freshness) -> Wanted {
        Wanted::User {
            scope,
            needs_terms: false,
            fresh,
            first_password: false,
        }
    }

    #[test]
    fn rules_are_read_from_their_options() {
        check("workload = {}", Wanted::Workload);
        check("anybody = {}", Wanted::Anybody);
        for scope in Scope::ALL {
            let name = scope.name().replace(':', "_").to_ascii_uppercase();
            let rule = format!("user = {{scope: SCOPE_{name}}}");
            check(&rule, user(scope, Freshness::Any));
        }
        for (name, fresh) in [
            ("IN_SESSIONS", Freshness::InSessions),
            ("ALWAYS", Freshness::Always),
        ] {
            let rule = format!("user = {{scope: SCOPE_ORG, freshness: FRESHNESS_{name}}}");
            check(&rule, user(Scope::Org, fresh));
        }
        let all = Wanted::User {
            scope: Scope::VideosWrite,
            needs_terms: true,
            fresh: Freshness::Always,
            first_password: true,
        };
        check(
            "user = {scope: SCOPE_VIDEOS_WRITE, needs_terms: true, freshness: FRESHNESS_ALWAYS, first_password: true}",
            all,
        );
    }

    #[test]
    fn a_method_that_does_not_say_what_it_wants_is_refused() {
        let of = |option: &str| format!("rpc One(M) returns (M) {{ {option} }}");
        let services = [SERVICE];
        check_wrong(&of(""), &services, "`/t.S/One` has no rule");
        let empty = of("option (kinora.access.v1.rule) = {};");
        check_wrong(
            &empty,
            &services,
            "`/t.S/One` has a rule that names no caller",
        );
        let anyhow = of("option (kinora.access.v1.rule).user = {needs_terms: true};");
        check_wrong(
            &anyhow,
            &services,
            "`/t.S/One` wants no scope that there is",
        );
        check_wrong("", &["t.Nothing"], "`t.Nothing` is no service");
    }

    #[test]
    fn what_this_version_does_not_know_lets_nobody_in() {
        let known = pb::User {
            scope: pb::Scope::Org.into(),
            freshness: pb::Freshness::Always.into(),
            ..pb::User::default()
        };
        assert!(scope_of(&known).is_some() && freshness_of(&known).is_some());
        let newer = pb::User {
            scope: 99,
            freshness: 99,
            ..known
        };
        assert!(scope_of(&newer).is_none() && freshness_of(&newer).is_none());
    }

    #[test]
    fn every_method_of_the_contracts_has_a_rule() {
        let pool = DescriptorPool::decode(kinora_proto::DESCRIPTORS).expect("the contracts");
        let services: Vec<String> = pool
            .services()
            .map(|service| service.full_name().to_owned())
            .collect();
        let services: Vec<&str> = services.iter().map(String::as_str).collect();
        let table = wanted(kinora_proto::DESCRIPTORS, &services).expect("complete");
        let methods = pool.services().map(|service| service.methods().len());
        assert_eq!(table.len(), methods.sum::<usize>());
    }
}
