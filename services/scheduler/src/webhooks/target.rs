//! Which URLs an endpoint may have, as far as the text tells. Names are looked up later, at every connection.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::is_public;

const MAX_URL_BYTES: usize = 2048;

/// The only ports below 1024 that speak HTTP; the others belong to older protocols that an HTTP request may confuse.
const LOW_PORTS: [u16; 2] = [80, 443];

/// Names that never lead outside.
const INSIDE_SUFFIXES: [&str; 8] = [
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home.arpa",
    "corp",
];

/// What the operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetRules {
    /// http beside https.
    pub allows_http: bool,
    /// Addresses inside.
    pub allows_private: bool,
}

/// Why a URL is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// The text breaks a rule.
    #[error("{0}")]
    Invalid(&'static str),
    /// It points inside.
    #[error("points to an address that is not allowed")]
    NotAllowed,
}

/// Reads a URL and checks what can be checked without looking its name up.
///
/// # Errors
/// [`UrlProblem`].
pub fn parse_target(text: &str, rules: TargetRules) -> Result<Url, UrlProblem> {
    if text.len() > MAX_URL_BYTES {
        return Err(UrlProblem::Invalid("is longer than 2048 bytes"));
    }
    // The parser would drop or encode them; a URL that needs it is a mistake.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(UrlProblem::Invalid("contains white space"));
    }
    let url = Url::parse(text).map_err(|_| UrlProblem::Invalid("is no URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if rules.allows_http => {}
        _ => return Err(UrlProblem::Invalid("must begin with https://")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlProblem::Invalid("contains a user name or a password"));
    }
    if url.fragment().is_some() {
        return Err(UrlProblem::Invalid("contains a fragment"));
    }
    check_port(&url)?;
    check_host(&url, rules)?;
    // Normal forms may be longer, as of names in other scripts.
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(UrlProblem::Invalid("is longer than 2048 bytes"));
    }
    Ok(url)
}

/// The address in a URL that names no name.
#[must_use]
pub fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    }
}

fn check_port(url: &Url) -> Result<(), UrlProblem> {
    match url.port_or_known_default() {
        Some(port) if port >= 1024 || LOW_PORTS.contains(&port) => Ok(()),
        _ => Err(UrlProblem::Invalid(
            "must use port 443, 80 or one from 1024 on",
        )),
    }
}

fn check_host(url: &Url, rules: TargetRules) -> Result<(), UrlProblem> {
    let host = url.host().ok_or(UrlProblem::Invalid("names no host"))?;
    if rules.allows_private {
        return Ok(());
    }
    let is_inside = match host {
        Host::Domain(name) => is_inside_name(name),
        Host::Ipv4(address) => !is_public(address.into()),
        Host::Ipv6(address) => !is_public(address.into()),
    };
    if is_inside {
        return Err(UrlProblem::NotAllowed);
    }
    Ok(())
}

fn is_inside_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let is_under = |suffix: &&str| {
        let rest = name.strip_suffix(*suffix);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    // A single label is completed by the search list of the machine.
    !name.contains('.') || INSIDE_SUFFIXES.iter().any(is_under)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: TargetRules = TargetRules {
        allows_http: false,
        allows_private: false,
    };

    fn check(rules: TargetRules, text: &str, expected: Result<&str, UrlProblem>) {
        let parsed = parse_target(text, rules).map(|url| url.to_string());
        assert_eq!(
            parsed.as_deref().map_err(|problem| *problem),
            expected,
            "{text}"
        );
    }

    #[test]
    fn public_https_passes_in_its_normal_form() {
        check(
            STRICT,
            "https://hooks.example.com/a?b=c",
            Ok("https://hooks.example.com/a?b=c"),
        );
        check(
            STRICT,
            "HTTPS://Hooks.Example.com:443",
            Ok("https://hooks.example.com/"),
        );
        check(
            STRICT,
            "https://hooks.example.com:8443/x",
            Ok("https://hooks.example.com:8443/x"),
        );
        check(STRICT, "https://8.8.8.8/", Ok("https://8.8.8.8/"));
    }

    #[test]
    fn urls_that_point_inside_are_not_allowed() {
        for text in [
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost",
            "https://printer",
            "https://db.internal",
            "https://nas.local",
            "https://metadata.google.internal/computeMetadata",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://0/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fd00:ec2::254]/",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.1:8443/",
            "https://192.168.0.1",
            "https://１２７.０.０.１/",
        ] {
            check(STRICT, text, Err(UrlProblem::NotAllowed));
        }
    }

    #[test]
    fn malformed_urls_are_refused() {
        for text in [
            "",
            "hooks.example.com",
            "https://",
            "https:///",
            "http://hooks.example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "gopher://example.com",
            "javascript:alert(1)",
            "https://user@example.com",
            "https://user:pass@example.com",
            "https://example.com/#x",
            "https://example.com:22/",
            "https://example.com:6/",
            "https://example.com:99999/",
            "https://exa mple.com/",
            "https://example.com/\r\nx",
            " https://example.com",
            "https://%zz/",
            &format!("https://example.com/{}", "a".repeat(2048)),
        ] {
            let problem = parse_target(text, STRICT).expect_err(text);
            assert!(
                matches!(problem, UrlProblem::Invalid(_)),
                "{text}: {problem:?}"
            );
        }
    }

    #[test]
    fn operator_may_allow_http_and_inside_apart() {
        let http = TargetRules {
            allows_http: true,
            ..STRICT
        };
        check(
            http,
            "http://hooks.example.com/",
            Ok("http://hooks.example.com/"),
        );
        check(http, "http://127.0.0.1:8080/", Err(UrlProblem::NotAllowed));
        let both = TargetRules {
            allows_private: true,
            ..http
        };
        check(both, "http://127.0.0.1:8080/", Ok("http://127.0.0.1:8080/"));
        let private = TargetRules {
            allows_private: true,
            ..STRICT
        };
        check(private, "https://printer/", Ok("https://printer/"));
        assert!(matches!(
            parse_target("http://printer/", private),
            Err(UrlProblem::Invalid(_))
        ));
    }
}
