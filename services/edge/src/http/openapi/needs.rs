//! What operations need of their callers, as the document says it.

use kinora_access::rules::Freshness;
use kinora_access::{Scope, Wanted};
use kinora_transcoder::openapi::Needs;
use serde_json::json;

const FRESH_IN_SESSIONS: &str = " With the token of a session a credential must have been shown in the last ten minutes; otherwise \
    PERMISSION_DENIED with reason STEP_UP_REQUIRED. API keys need none.";

const FRESH: &str = " A credential must have been shown in the last ten minutes; otherwise PERMISSION_DENIED with reason \
    STEP_UP_REQUIRED. An API key shows none.";

const TERMS: &str = " The terms of use that are in force must have been accepted; otherwise FAILED_PRECONDITION with reason \
    TERMS_NOT_ACCEPTED.";

const FIRST_PASSWORD: &str = " May be called before a first password is changed.";

/// What a method that wants this needs.
pub(super) fn of(wanted: Wanted) -> Needs {
    let Wanted::User {
        scope,
        needs_terms,
        fresh,
        first_password,
    } = wanted
    else {
        return Needs::default();
    };
    let mut words = format!(
        "Needs the scope `{scope}`; otherwise PERMISSION_DENIED with reason SCOPE_MISSING."
    );
    words.push_str(match fresh {
        Freshness::Any => "",
        Freshness::InSessions => FRESH_IN_SESSIONS,
        Freshness::Always => FRESH,
    });
    for (is_so, sentence) in [(needs_terms, TERMS), (first_password, FIRST_PASSWORD)] {
        words.push_str(if is_so { sentence } else { "" });
    }
    Needs {
        security: security(scope, fresh != Freshness::Always),
        words,
    }
}

/// A token, or a key where keys may call. OpenAPI lets any scheme name the roles that it must give.
fn security(scope: Scope, admits_keys: bool) -> Vec<serde_json::Value> {
    let mut ways = vec![json!({ "bearer": [scope.name()] })];
    if admits_keys {
        ways.push(json!({ "apiKey": [scope.name()] }));
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fresh: Freshness, needs_terms: bool, first_password: bool, expected: &[&str]) {
        let needs = of(Wanted::User {
            scope: Scope::Org,
            needs_terms,
            fresh,
            first_password,
        });
        let scope = "Needs the scope `org`; otherwise PERMISSION_DENIED with reason SCOPE_MISSING.";
        assert_eq!(needs.words, format!("{scope}{}", expected.concat()));
        let admits_keys = needs.security.iter().any(|way| way.get("apiKey").is_some());
        assert_eq!(admits_keys, fresh != Freshness::Always);
    }

    #[test]
    fn everything_that_is_wanted_is_said() {
        check(Freshness::Any, false, false, &[]);
        check(Freshness::InSessions, false, false, &[FRESH_IN_SESSIONS]);
        check(
            Freshness::Always,
            true,
            true,
            &[FRESH, TERMS, FIRST_PASSWORD],
        );
    }

    #[test]
    fn what_is_open_needs_nothing() {
        let needs = of(Wanted::Anybody);
        assert!(needs.security.is_empty() && needs.words.is_empty());
    }
}
