//! What a token, or a key, is good for.

use super::caller::Caller;
use super::refusal::Refusal;

/// Managing the platform. Only of operators.
pub const ADMIN: &str = "admin";

/// What a key is good for when its owner names nothing.
pub const OF_KEYS: [&str; 3] = ["videos:read", "videos:write", "webhooks"];

/// Needs somebody who has signed in: a stolen key must not make others, or change who is in an organisation.
const OF_PEOPLE: [&str; 2] = ["account", "org"];

/// Whose a new key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOwner {
    /// The caller's own, for the caller alone.
    Person,
    /// It acts for an organisation.
    OfOrganisation,
}

/// What a new key of `caller` is good for: `wanted`, without repetitions, or the usual scopes when nothing is wanted.
///
/// # Errors
/// [`Refusal::ScopeUnknown`], or [`Refusal::ScopeNotAllowed`] for what no key has, what the caller's own token has not,
/// and for `admin`, unless it is an operator's own key.
pub fn for_key(
    wanted: &[String],
    caller: &Caller,
    owner: KeyOwner,
) -> Result<Vec<String>, Refusal> {
    let usual = OF_KEYS.map(str::to_owned);
    let wanted = if wanted.is_empty() { &usual } else { wanted };
    let mut scopes: Vec<String> = Vec::new();
    for scope in wanted {
        let name = scope.as_str();
        let is_for_keys = OF_KEYS.contains(&name);
        if !is_for_keys && name != ADMIN && !OF_PEOPLE.contains(&name) {
            return Err(Refusal::ScopeUnknown);
        }
        let may_administer = caller.is_operator && owner == KeyOwner::Person;
        let is_allowed = is_for_keys || (name == ADMIN && may_administer);
        if !is_allowed || !caller.scopes.contains(scope) {
            return Err(Refusal::ScopeNotAllowed);
        }
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    Ok(scopes)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn caller(scopes: &[&str], is_operator: bool) -> Caller {
        Caller {
            id: Uuid::now_v7(),
            session: Uuid::now_v7(),
            organisation: None,
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            assurance: 1,
            auth_time: "2026-11-22T12:00:00Z".parse().unwrap(),
            is_operator,
            origin: crate::domain::origin::Origin::default(),
        }
    }

    fn check(
        caller: &Caller,
        owner: KeyOwner,
        wanted: &[&str],
        expected: Result<&[&str], Refusal>,
    ) {
        let wanted: Vec<String> = wanted.iter().map(|&scope| scope.to_owned()).collect();
        let expected = expected.map(|scopes| scopes.iter().map(|&s| s.to_owned()).collect());
        assert_eq!(
            for_key(&wanted, caller, owner),
            expected,
            "{owner:?} {wanted:?}"
        );
    }

    #[test]
    fn a_key_has_no_more_than_its_owner_gives_away() {
        use KeyOwner::{OfOrganisation, Person};
        let all = ["videos:read", "videos:write", "webhooks", "account", "org"];
        let ada = caller(&all, false);
        check(&ada, Person, &[], Ok(&OF_KEYS));
        check(&ada, Person, &["webhooks", "webhooks"], Ok(&["webhooks"]));
        for scope in ["account", "org", "admin"] {
            check(&ada, Person, &[scope], Err(Refusal::ScopeNotAllowed));
        }
        for scope in ["", "videos", "videos:read ", "VIDEOS:READ", "*"] {
            check(&ada, Person, &[scope], Err(Refusal::ScopeUnknown));
        }
        let reader = caller(&["videos:read", "account"], false);
        check(&reader, Person, &[], Err(Refusal::ScopeNotAllowed));
        check(&reader, Person, &["videos:read"], Ok(&["videos:read"]));
        let operator = caller(&[&all[..], &["admin"]].concat(), true);
        check(&operator, Person, &["admin"], Ok(&["admin"]));
        let refused = Err(Refusal::ScopeNotAllowed);
        check(&operator, OfOrganisation, &["admin"], refused);
        // The token says admin, but nobody is an operator.
        let impostor = caller(&["admin"], false);
        check(&impostor, Person, &["admin"], refused);
    }
}
