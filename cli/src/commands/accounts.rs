//! `kinora admin users`, `orgs`, `keys`, `terms`, `signing-keys` and `audit`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::arguments::accounts::{
    AuditArguments, KeysCommand, OrgsCommand, SigningKeysCommand, TermsCommand, UsersCommand,
};
use crate::client::{Api, ApiError};
use crate::exit::Failure;
use crate::output::{self, show};

const USERS: [&str; 3] = ["v1", "admin", "users"];

/// Runs `kinora admin users`.
pub(super) async fn users(api: &Api, command: UsersCommand, json: bool) -> Result<(), Failure> {
    let (id, verb, body) = match command {
        UsersCommand::List { query, limit } => {
            let users = api
                .listed(&USERS, &[("query", &query)], "users", limit)
                .await?;
            return Ok(show(json, &users, || user_table(&users))?);
        }
        UsersCommand::Show { user } => {
            let id = id_of(api, user).await?;
            let path = [USERS[0], USERS[1], USERS[2], &id];
            let user = api.call(Method::GET, &path, &[], None).await?["user"].take();
            return Ok(show(json, &user, || {
                user_table(std::slice::from_ref(&user))
            })?);
        }
        UsersCommand::Create {
            email,
            name,
            operator,
        } => {
            let body = json!({ "email": email, "display_name": name, "is_operator": operator });
            let made = api.call(Method::POST, &USERS, &[], Some(body)).await;
            let user = made?["user"].take();
            return Ok(show(json, &user, || {
                user_table(std::slice::from_ref(&user))
            })?);
        }
        UsersCommand::Disable { id, reason } => (id, "disable", json!({ "reason": reason })),
        UsersCommand::Enable { id } => (id, "enable", json!({})),
        UsersCommand::Promote { id } => (id, "setOperator", json!({ "is_operator": true })),
        UsersCommand::Demote { id } => (id, "setOperator", json!({ "is_operator": false })),
        UsersCommand::SignOut { id } => (id, "signOut", json!({})),
        UsersCommand::ResetSecondFactors { id, reason } => {
            (id, "resetSecondFactors", json!({ "reason": reason }))
        }
        UsersCommand::SetAge { id, adult, method } => {
            (id, "setAge", json!({ "is_adult": adult, "method": method }))
        }
    };
    let target = format!("{id}:{verb}");
    let path = [USERS[0], USERS[1], USERS[2], &target];
    let answer = api.call(Method::POST, &path, &[], Some(body)).await?;
    Ok(show(json, &answer, || match answer.get("user") {
        Some(user) => user_table(std::slice::from_ref(user)),
        None => format!("{} sessions ended", text(&answer, "revoked")),
    })?)
}

/// The id of a user who may be named by the address, which stands in no path.
async fn id_of(api: &Api, user: String) -> Result<String, Failure> {
    if !user.contains('@') {
        return Ok(user);
    }
    let found = api
        .listed(&USERS, &[("query", &user)], "users", usize::MAX)
        .await?;
    let named = found
        .iter()
        .find(|found| text(found, "email").to_lowercase() == user.to_lowercase());
    let id = named.map(|found| text(found, "id"));
    Ok(id.ok_or_else(|| ApiError::Local(format!("nobody has the address {user}")))?)
}

/// Runs `kinora admin orgs`.
pub(super) async fn orgs(api: &Api, command: OrgsCommand, json: bool) -> Result<(), Failure> {
    let OrgsCommand::List { query, limit } = command;
    let path = ["v1", "admin", "organisations"];
    let orgs = api
        .listed(&path, &[("query", &query)], "organisations", limit)
        .await?;
    let row = |org: &Value| ["id", "name", "members", "create_time"].map(|field| text(org, field));
    Ok(show(json, &orgs, || {
        let rows: Vec<_> = orgs.iter().map(row).collect();
        output::table(["ID", "NAME", "MEMBERS", "CREATED"], &rows)
    })?)
}

/// Runs `kinora admin keys`.
pub(super) async fn keys(api: &Api, command: KeysCommand, json: bool) -> Result<(), Failure> {
    match command {
        KeysCommand::List { owner } => {
            let path = ["v1", "admin", "keys"];
            let mut answer = api
                .call(Method::GET, &path, &[("owner_id", &owner)], None)
                .await?;
            let keys = answer["keys"].take();
            show(json, &keys, || {
                key_table(keys.as_array().map_or(&[], Vec::as_slice))
            })?;
        }
        KeysCommand::Revoke { id } => {
            let path = ["v1", "admin", "keys", &id];
            let answer = api.call(Method::DELETE, &path, &[], None).await?;
            show(json, &answer, || format!("{id} is revoked"))?;
        }
    }
    Ok(())
}

/// Runs `kinora admin terms`.
pub(super) async fn terms(api: &Api, command: TermsCommand, json: bool) -> Result<(), Failure> {
    let path = ["v1", "admin", "terms"];
    let terms = match command {
        TermsCommand::List => {
            let mut answer = api.call(Method::GET, &path, &[], None).await?;
            answer["terms"].take()
        }
        TermsCommand::Publish { file } => {
            let read = std::fs::read_to_string(&file);
            let body = read.map_err(|error| {
                ApiError::Local(format!("{} cannot be read: {error}", file.display()))
            })?;
            let body = json!({ "text": body });
            let mut answer = api.call(Method::POST, &path, &[], Some(body)).await?;
            json!([answer["terms"].take()])
        }
    };
    let row = |terms: &Value| ["version", "publish_time", "sha256"].map(|field| text(terms, field));
    Ok(show(json, &terms, || {
        let rows: Vec<_> = terms.as_array().into_iter().flatten().map(row).collect();
        output::table(["VERSION", "IN FORCE SINCE", "SHA-256"], &rows)
    })?)
}

/// Runs `kinora admin signing-keys`.
pub(super) async fn signing_keys(
    api: &Api,
    command: SigningKeysCommand,
    json: bool,
) -> Result<(), Failure> {
    let (method, last) = match command {
        SigningKeysCommand::List => (Method::GET, vec!["signingKeys".to_owned()]),
        SigningKeysCommand::Rotate => (Method::POST, vec!["signingKeys:rotate".to_owned()]),
        SigningKeysCommand::Revoke { id } => (
            Method::POST,
            vec!["signingKeys".to_owned(), format!("{id}:revoke")],
        ),
    };
    let body = (method == Method::POST).then(|| json!({}));
    let path = ["v1", "admin"]
        .into_iter()
        .chain(last.iter().map(String::as_str));
    let path: Vec<&str> = path.collect();
    let keys = api.call(method, &path, &[], body).await?["keys"].take();
    let row = |key: &Value| {
        let state = text(key, "state")
            .replace("SIGNING_KEY_STATE_", "")
            .to_lowercase();
        [text(key, "id"), state, text(key, "state_time")]
    };
    Ok(show(json, &keys, || {
        let rows: Vec<_> = keys.as_array().into_iter().flatten().map(row).collect();
        output::table(["KEY", "STATE", "SINCE"], &rows)
    })?)
}

/// Runs `kinora admin audit`.
pub(super) async fn audit(api: &Api, arguments: AuditArguments, json: bool) -> Result<(), Failure> {
    let time = |time: &Option<String>| time.clone().unwrap_or_default();
    let (since, until) = (time(&arguments.since), time(&arguments.until));
    let mut query = vec![
        ("filter.actor", arguments.actor.as_str()),
        ("filter.subject", arguments.subject.as_str()),
        ("filter.action", arguments.action.as_str()),
        ("filter.since", since.as_str()),
        ("filter.until", until.as_str()),
    ];
    query.retain(|(_, value)| !value.is_empty());
    if arguments.export {
        let path = ["v1", "admin", "audit:export"];
        let take = |page: Value| {
            for entry in page["entries"].as_array().into_iter().flatten() {
                output::result(entry).map_err(|error| ApiError::Local(error.to_string()))?;
            }
            Ok(())
        };
        return Ok(api.lines(&path, &query, take).await?);
    }
    let path = ["v1", "admin", "audit"];
    let entries = api
        .listed(&path, &query, "entries", arguments.limit)
        .await?;
    let row = |entry: &Value| {
        let succeeded = entry["succeeded"].as_bool().unwrap_or_default();
        [
            text(entry, "time"),
            text(entry, "actor"),
            text(entry, "action"),
            if succeeded { "done" } else { "refused" }.to_owned(),
            text(&entry["origin"], "address"),
            text(entry, "detail"),
        ]
    };
    Ok(show(json, &entries, || {
        let rows: Vec<_> = entries.iter().map(row).collect();
        output::table(["TIME", "WHO", "WHAT", "RESULT", "FROM", "DETAIL"], &rows)
    })?)
}

fn user_table(users: &[Value]) -> String {
    let row = |user: &Value| {
        let state = text(user, "state")
            .replace("USER_STATE_", "")
            .to_lowercase();
        let is_operator = user["is_operator"].as_bool().unwrap_or_default();
        [
            text(user, "id"),
            text(user, "email"),
            state,
            if is_operator { "operator" } else { "" }.to_owned(),
            text(user, "terms_version"),
            text(user, "create_time"),
        ]
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    output::table(["ID", "ADDRESS", "STATE", "", "TERMS", "CREATED"], &rows)
}

fn key_table(keys: &[Value]) -> String {
    let row = |key: &Value| {
        let scopes = key["scopes"].as_array().into_iter().flatten();
        let scopes: Vec<&str> = scopes.filter_map(Value::as_str).collect();
        let state = match (key["revoke_time"].as_str(), key["expire_time"].as_str()) {
            (Some(time), _) => format!("revoked {time}"),
            (None, Some(time)) => format!("until {time}"),
            (None, None) => String::new(),
        };
        [
            text(key, "id"),
            text(key, "hint"),
            text(key, "name"),
            scopes.join(","),
            text(key, "last_use_time"),
            state,
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    output::table(["ID", "KEY", "NAME", "SCOPES", "LAST USED", ""], &rows)
}

/// A field as a person reads it; nothing where there is none.
pub(super) fn text(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_show_what_is_there() {
        let user = json!({
            "id": "u1", "email": "ada@example.org", "state": "USER_STATE_ACTIVE",
            "is_operator": true, "terms_version": 2, "create_time": "2026-11-22T00:00:00Z",
        });
        let table = user_table(&[user]);
        assert!(
            table.contains("ada@example.org  active  operator  2"),
            "{table}"
        );
        let key = json!({
            "id": "k1", "hint": "kk_abc", "name": "ci", "scopes": ["videos:read", "webhooks"],
            "last_use_time": null, "expire_time": null, "revoke_time": "2026-11-22T00:00:00Z",
        });
        let table = key_table(&[key]);
        assert!(
            table.contains("videos:read,webhooks") && table.contains("revoked 2026"),
            "{table}"
        );
    }
}
