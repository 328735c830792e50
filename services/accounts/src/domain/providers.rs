//! Which other providers may sign people in: the operator's file.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use kinora_mesh::secret::Secret;
use serde::Deserialize;
use url::{Host, Url};

use super::Time;
use super::refusal::Refusal;

/// Clocks of providers differ from ours by less.
pub const LEEWAY: TimeDelta = TimeDelta::seconds(60);

/// Providers in one file.
const MAX_PROVIDERS: usize = 50;

/// Authentication contexts of one provider.
const MAX_ACR_VALUES: usize = 10;

/// A provider that may sign people in.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// How it is called here: 1 to 32 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// As its discovery document and its tokens name it, exactly.
    pub issuer: String,
    /// Under which it knows us.
    pub client_id: String,
    /// What we prove it with. None for a public client.
    pub client_secret: Option<Secret>,
    /// Asked for besides `openid`.
    pub scopes: Vec<String>,
    /// Where it may send browsers, exactly.
    pub redirect_uris: Vec<String>,
    /// What a sign-in there must have been.
    pub demands: Demands,
}

/// What a sign-in at a provider must have been to count here. It is asked for, and then checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// How long before the browser was sent there the person may have shown a credential. None for as long as one likes.
    pub max_age: Option<TimeDelta>,
    /// The authentication contexts of which it must be one, the preferred one first. Empty for any.
    pub acr_values: Vec<String>,
}

/// What an id token says of a sign-in at its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInThere<'a> {
    /// `auth_time`.
    pub time: Option<Time>,
    /// `acr`.
    pub context: Option<&'a str>,
}

impl Demands {
    /// Passes when a sign-in will do that was begun here at a time. What the provider does not say does not fulfil a
    /// demand.
    ///
    /// # Errors
    /// [`Refusal::TokenInvalid`] for one that is to come; [`Refusal::ProviderSignInOld`], [`Refusal::ProviderSignInWeak`].
    pub fn admit(&self, there: SignInThere<'_>, begun: Time, now: Time) -> Result<(), Refusal> {
        if there.time.is_some_and(|time| time > now + LEEWAY) {
            return Err(Refusal::TokenInvalid);
        }
        if let Some(max_age) = self.max_age
            && there
                .time
                .is_none_or(|time| time < begun - max_age - LEEWAY)
        {
            return Err(Refusal::ProviderSignInOld);
        }
        let is_wanted = |context: &str| self.acr_values.iter().any(|wanted| wanted == context);
        if !self.acr_values.is_empty() && !there.context.is_some_and(is_wanted) {
            return Err(Refusal::ProviderSignInWeak);
        }
        Ok(())
    }
}

/// The file does not say what it should.
#[derive(Debug, thiserror::Error)]
pub enum ProvidersError {
    /// It is no TOML of the right form.
    #[error("the providers' file cannot be read: {0}")]
    Form(String),
    /// A provider makes no sense.
    #[error("provider {name:?}: {problem}")]
    Provider {
        /// Of the provider.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The file of a secret cannot be read.
    #[error("provider {name:?}: its secret cannot be read")]
    Secret {
        /// Of the provider.
        name: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    provider: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    client_secret_file: Option<String>,
    #[serde(default = "default_scopes")]
    scopes: Vec<String>,
    redirect_uris: Vec<String>,
    /// In seconds.
    max_age: Option<u32>,
    #[serde(default)]
    acr_values: Vec<String>,
}

fn default_scopes() -> Vec<String> {
    ["email", "profile"].map(str::to_owned).to_vec()
}

fn shares_redirect(one: &ProviderConfig, other: &ProviderConfig) -> bool {
    let mut redirects = one.redirect_uris.iter();
    redirects.any(|uri| other.redirect_uris.contains(uri))
}

/// Reads the text of a file, by name. Secrets in files of their own are read with `read_secret`.
///
/// # Errors
/// [`ProvidersError`].
pub fn parse(
    text: &str,
    read_secret: impl Fn(&str) -> std::io::Result<String>,
) -> Result<BTreeMap<String, ProviderConfig>, ProvidersError> {
    // The error's own text would quote the line, and with it perhaps a secret.
    let file: File =
        toml::from_str(text).map_err(|error| ProvidersError::Form(error.message().to_owned()))?;
    let mut providers = BTreeMap::new();
    for entry in file.provider {
        let provider = provider(entry, &read_secret)?;
        let name = provider.name.clone();
        if providers.len() == MAX_PROVIDERS {
            let problem = "there are more providers than fifty";
            return Err(ProvidersError::Provider { name, problem });
        }
        if providers
            .values()
            .any(|other: &ProviderConfig| other.issuer == provider.issuer)
        {
            // Accounts are known by issuer and subject: two clients of one issuer could take each other's.
            let problem = "its issuer is another one's, too";
            return Err(ProvidersError::Provider { name, problem });
        }
        if providers
            .values()
            .any(|other| shares_redirect(other, &provider))
        {
            // The answer of one could be taken for the other's, and its code sent there.
            let problem = "one of its redirect addresses is another provider's, too";
            return Err(ProvidersError::Provider { name, problem });
        }
        if providers.insert(name.clone(), provider).is_some() {
            let problem = "there is another one of this name";
            return Err(ProvidersError::Provider { name, problem });
        }
    }
    Ok(providers)
}

fn provider(
    entry: Entry,
    read_secret: impl Fn(&str) -> std::io::Result<String>,
) -> Result<ProviderConfig, ProvidersError> {
    if let Some(problem) = problem(&entry) {
        return Err(ProvidersError::Provider {
            name: entry.name,
            problem,
        });
    }
    let secret = match entry.client_secret_file {
        Some(path) => Some(
            read_secret(&path)
                .map(|text| text.trim().to_owned())
                .map_err(|source| ProvidersError::Secret {
                    name: entry.name.clone(),
                    source,
                })?,
        ),
        None => entry.client_secret,
    };
    Ok(ProviderConfig {
        name: entry.name,
        issuer: entry.issuer,
        client_id: entry.client_id,
        client_secret: secret.map(Secret::new),
        scopes: entry.scopes,
        redirect_uris: entry.redirect_uris,
        demands: Demands {
            max_age: entry
                .max_age
                .map(|seconds| TimeDelta::seconds(seconds.into())),
            acr_values: entry.acr_values,
        },
    })
}

fn problem(entry: &Entry) -> Option<&'static str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !(1..=32).contains(&entry.name.len()) || !entry.name.chars().all(is_name) {
        return Some("a name has 1 to 32 of a-z, 0-9 and -");
    }
    if entry.issuer.len() > 512 || !is_safe(&entry.issuer) {
        return Some("an issuer is an https address, or an http one of this machine");
    }
    if entry.client_id.is_empty() {
        return Some("the client_id is empty");
    }
    if entry.client_secret.is_some() && entry.client_secret_file.is_some() {
        return Some("there are two secrets");
    }
    if entry.redirect_uris.is_empty() {
        return Some("there is no redirect address");
    }
    if !entry.redirect_uris.iter().all(|uri| is_safe(uri)) {
        return Some("a redirect address is an https one, or an http one of this machine");
    }
    let is_word = |value: &String| !value.is_empty() && !value.contains(char::is_whitespace);
    if entry.acr_values.len() > MAX_ACR_VALUES || !entry.acr_values.iter().all(is_word) {
        return Some("acr_values are at most ten words");
    }
    None
}

/// Whether an address is an https one, or an http one of this machine, without a fragment, query or password.
fn is_safe(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let is_plain = url.fragment().is_none()
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    is_plain && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)))
}

/// Whether an address is one of this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[provider]]
        name = "google"
        issuer = "https://accounts.google.com"
        client_id = "us"
        client_secret_file = "/run/secrets/google"
        redirect_uris = ["https://example.org/back"]
    "#;

    fn read(text: &str) -> Result<BTreeMap<String, ProviderConfig>, ProvidersError> {
        parse(text, |path| Ok(format!("secret of {path}\n")))
    }

    #[test]
    fn a_provider_has_its_secret_from_a_file() {
        let providers = read(GOOD).unwrap();
        let google = &providers["google"];
        let secret = google.client_secret.as_ref().unwrap();
        assert_eq!(secret.reveal(), "secret of /run/secrets/google");
        assert_eq!(google.scopes, ["email", "profile"]);
        assert_eq!(google.demands, Demands::default());
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (from, to) in [
            ("\"google\"", "\"Google\""),
            ("\"google\"", "\"\""),
            ("https://accounts.google.com", "http://accounts.google.com"),
            (
                "https://accounts.google.com",
                "https://a:b@accounts.google.com",
            ),
            ("https://example.org/back", "http://example.org/back"),
            ("https://example.org/back", "https://example.org/back#x"),
            ("https://example.org/back", "javascript:alert(1)"),
            ("[\"https://example.org/back\"]", "[]"),
            (
                "client_id = \"us\"",
                "client_id = \"us\"\nclient_secret = \"twice\"",
            ),
            (
                "client_id = \"us\"",
                "client_id = \"us\"\nclient = \"typo\"",
            ),
            ("client_id = \"us\"", "client_id = \"us\"\nmax_age = -1"),
            (
                "client_id = \"us\"",
                "client_id = \"us\"\nacr_values = [\"two words\"]",
            ),
        ] {
            assert!(GOOD.contains(from));
            assert!(read(&GOOD.replace(from, to)).is_err(), "{to}");
        }
        assert!(read(&GOOD.repeat(2)).is_err());
        let other = GOOD.replace("\"google\"", "\"other\"");
        assert!(read(&format!("{GOOD}{other}")).is_err());
        let other = other.replace(
            "https://accounts.google.com",
            "https://accounts.example.org",
        );
        assert!(
            read(&format!("{GOOD}{other}")).is_err(),
            "one redirect address for two"
        );
        let other = other.replace("https://example.org/back", "https://example.org/other");
        assert!(read(&format!("{GOOD}{other}")).is_ok());
    }

    #[test]
    fn what_is_wanted_of_a_sign_in_must_be_said() {
        let text = "client_id = \"us\"\nmax_age = 300\nacr_values = [\"phr\", \"phrh\"]";
        let wanting = read(&GOOD.replace("client_id = \"us\"", text)).unwrap();
        let begun: Time = "2026-11-22T12:00:00Z".parse().unwrap();
        let now = begun + TimeDelta::minutes(9);
        let seconds = |seconds| Some(begun + TimeDelta::seconds(seconds));
        let check = |demands: &Demands, time, context, expected| {
            let there = SignInThere { time, context };
            assert_eq!(demands.admit(there, begun, now), expected, "{there:?}");
        };
        let demands = &wanting["google"].demands;
        for (time, context, expected) in [
            (seconds(-300), Some("phrh"), Ok(())),
            (seconds(-360), Some("phr"), Ok(())),
            (seconds(9 * 60), Some("phr"), Ok(())),
            (seconds(-361), Some("phr"), Err(Refusal::ProviderSignInOld)),
            (None, Some("phr"), Err(Refusal::ProviderSignInOld)),
            (seconds(0), Some("pwd"), Err(Refusal::ProviderSignInWeak)),
            (seconds(0), None, Err(Refusal::ProviderSignInWeak)),
            (seconds(601), Some("phr"), Err(Refusal::TokenInvalid)),
        ] {
            check(demands, time, context, expected);
        }
        check(&Demands::default(), None, None, Ok(()));
        check(
            &Demands::default(),
            seconds(-1_000_000),
            Some("pwd"),
            Ok(()),
        );
        check(
            &Demands::default(),
            seconds(601),
            None,
            Err(Refusal::TokenInvalid),
        );
    }

    #[test]
    fn http_is_for_this_machine() {
        for (text, safe) in [
            ("http://127.0.0.1:9/x", true),
            ("http://[::1]/x", true),
            ("http://localhost/x", true),
            ("http://localhost.example.org/x", false),
            ("http://127.0.0.1.example.org/", false),
            ("https://example.org", true),
            ("ftp://localhost/", false),
        ] {
            assert_eq!(is_safe(text), safe, "{text}");
        }
    }
}
