//! What authenticators know this platform as.

use url::{Host, Url};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use super::providers::is_loopback;
use crate::error::Error;

/// The relying party of a web address. None where there can be none, because the address has no name: authenticators
/// know names only. On one machine, an address of the loopback stands for `localhost`.
///
/// # Errors
/// [`Error::Options`] when the address is none.
pub fn relying_party(public_url: &str) -> Result<Option<Webauthn>, Error> {
    let broken = |problem: &dyn std::fmt::Display| {
        Error::Options(format!(
            "the public address makes no relying party: {problem}"
        ))
    };
    let mut origin = Url::parse(public_url).map_err(|error| broken(&error))?;
    let is_ours = is_loopback(&origin);
    let name = match origin.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(_) if is_ours => "localhost".to_owned(),
        _ => return Ok(None),
    };
    origin
        .set_host(Some(&name))
        .map_err(|error| broken(&error))?;
    WebauthnBuilder::new(&name, &origin)
        .map(|builder| builder.rp_name("Kinora"))
        .and_then(WebauthnBuilder::build)
        .map(Some)
        .map_err(|error| broken(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_of_the_public_address() {
        for (address, origin) in [
            ("http://127.0.0.1:8080", Some("http://localhost:8080/")),
            (
                "https://video.example.org/app",
                Some("https://video.example.org/app"),
            ),
            ("https://192.0.2.1", None),
        ] {
            let party = relying_party(address).unwrap();
            let known = party.map(|party| party.get_allowed_origins()[0].to_string());
            assert_eq!(known.as_deref(), origin);
        }
        assert!(relying_party("nowhere").is_err());
    }
}
