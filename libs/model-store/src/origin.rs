//! Where files come from: the hub of the catalogue, or a mirror of the operator.

use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

use crate::catalogue::ModelEntry;
use crate::relative_path::RelativePath;

/// A place that has the files and is asked instead of the hub.
///
/// Both layouts are tried: the hub's, `<mirror>/<owner>/<name>/resolve/<revision>/<path>`, and a store's,
/// `<mirror>/<id>/<path>`, so that one store is a mirror for the next.
#[derive(Clone, PartialEq, Eq)]
pub enum Mirror {
    /// A server. Named by the operator, so plain HTTP is taken too; digests of the catalogue hold all the same.
    Http(Url),
    /// A folder of this machine.
    Folder(PathBuf),
}

/// Why a mirror is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a mirror: name a folder, or an http://, https:// or file:// URL without a query or fragment"
)]
pub struct MirrorError(String);

/// Logs show options, so this shows no password either.
impl std::fmt::Debug for Mirror {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(url) => write!(formatter, "Http({})", public(url)),
            Self::Folder(path) => write!(formatter, "Folder({})", path.display()),
        }
    }
}

impl FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        let wrong = || MirrorError(without_secrets(text));
        if text.is_empty() {
            return Err(wrong());
        }
        if !text.contains("://") {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        let url = Url::parse(text).map_err(|_| wrong())?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        match url.scheme() {
            "http" | "https" if url.host().is_some() => Ok(Self::Http(url)),
            "file" => Ok(Self::Folder(url.to_file_path().map_err(|()| wrong())?)),
            _ => Err(wrong()),
        }
    }
}

/// One place to ask for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A server.
    Http(Url),
    /// A file of this machine.
    File(PathBuf),
}

impl std::fmt::Display for Location {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(url) => formatter.write_str(public(url).as_str()),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

/// A URL without what may be secret in it.
fn public(url: &Url) -> Url {
    let mut url = url.clone();
    // These fail for URLs that cannot have a user, and so have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// As [`public`], for what may be no URL at all: then only its scheme is safe to show.
fn without_secrets(text: &str) -> String {
    match (Url::parse(text), text.split_once("://")) {
        (Ok(url), _) => public(&url).to_string(),
        (Err(_), Some((scheme, _))) => format!("{scheme}://..."),
        (Err(_), None) => text.to_owned(),
    }
}

/// The places to ask for a file, in order.
pub(crate) fn locations(
    entry: &ModelEntry,
    path: &RelativePath,
    mirror: Option<&Mirror>,
) -> Vec<Location> {
    let source = &entry.source;
    let as_hub = format!("{}/resolve/{}/{path}", source.repo, source.revision);
    let as_store = format!("{}/{path}", entry.id);
    let at = |base: &str, rest: &str| {
        Url::parse(&format!("{}/{rest}", base.trim_end_matches('/'))).map(Location::Http)
    };
    match mirror {
        None => at(&source.hub, &as_hub).into_iter().collect(),
        Some(Mirror::Http(base)) => [as_hub, as_store]
            .iter()
            .filter_map(|rest| at(base.as_str(), rest).ok())
            .collect(),
        Some(Mirror::Folder(folder)) => [as_store, as_hub]
            .iter()
            .map(|rest| Location::File(folder.join(rest)))
            .collect(),
    }
}

/// The hub of a catalogue must speak TLS, unless it is on this machine.
pub(crate) fn check_hub(hub: &str) -> Result<(), String> {
    let url = Url::parse(hub).map_err(|error| format!("hub `{hub}` is not a URL: {error}"))?;
    let is_local = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    match url.scheme() {
        "https" if url.host_str().is_some() => Ok(()),
        "http" if is_local => Ok(()),
        _ => Err(format!(
            "hub `{hub}` must be https; a plain mirror is named with --mirror"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_servers_or_folders() {
        let folder = |text: &str| Mirror::from_str(text).unwrap();
        assert_eq!(folder("/mnt/models"), Mirror::Folder("/mnt/models".into()));
        assert_eq!(
            folder("file:///mnt/models"),
            Mirror::Folder("/mnt/models".into())
        );
        assert!(matches!(
            folder("http://10.0.0.1:8000/hub"),
            Mirror::Http(_)
        ));
        for text in [
            "",
            "ftp://x",
            "file://host/x",
            "http://",
            "http://x/?token=1",
            "http://x/#y",
        ] {
            assert!(Mirror::from_str(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_may_be_secret_in_a_url_is_not_shown() {
        let url = Url::parse("https://ada:secret@mirror.example/m/x?signature=secret#secret");
        let shown = Location::Http(url.unwrap()).to_string();
        assert_eq!(shown, "https://mirror.example/m/x");
        let mirror = Mirror::from_str("https://ada:secret@mirror.example").unwrap();
        assert_eq!(format!("{mirror:?}"), "Http(https://mirror.example/)");
        for text in [
            "https://ada:secret@mirror.example/?a=secret",
            "ftp://ada:secret@mirror.example",
            "https://ada:secret@[x",
        ] {
            let error = Mirror::from_str(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_hub_without_tls_is_taken_on_this_machine_only() {
        for hub in [
            "https://hub.example.org",
            "http://127.0.0.1:9",
            "http://localhost",
            "http://[::1]:1",
        ] {
            assert_eq!(check_hub(hub), Ok(()), "{hub}");
        }
        for hub in [
            "http://hub.example.org",
            "http://127.0.0.1.example.org",
            "file:///x",
            "x",
        ] {
            assert!(check_hub(hub).is_err(), "{hub}");
        }
    }
}
