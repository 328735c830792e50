//! Which service is at the other end of a connection: its SPIFFE id.

use std::fmt;
use std::str::FromStr;

const SCHEME: &str = "spiffe://";

/// No part of a SPIFFE id of ours is longer.
const MAX_PART: usize = 63;

/// A service of a mesh, as its certificate names it: `spiffe://<trust domain>/ns/<namespace>/sa/<service>`.
///
/// Every part has 1 to 63 of lower-case letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Whose certificates these are, for example `kinora.local`.
    pub trust_domain: String,
    /// The Kubernetes namespace, or `default`.
    pub namespace: String,
    /// The service, for example `scheduler`.
    pub service: String,
}

/// The text is not the SPIFFE id of a service.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected `spiffe://<trust domain>/ns/<namespace>/sa/<service>`")]
pub struct InvalidWorkload;

impl Workload {
    /// Another service of the same mesh: same trust domain, same namespace.
    #[must_use]
    pub fn sibling(&self, service: &str) -> Self {
        Self {
            service: service.to_owned(),
            ..self.clone()
        }
    }

    /// Whether both belong to one mesh.
    #[must_use]
    pub fn is_sibling_of(&self, other: &Self) -> bool {
        self.trust_domain == other.trust_domain && self.namespace == other.namespace
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trust_domain,
            namespace,
            service,
        } = self;
        write!(f, "{SCHEME}{trust_domain}/ns/{namespace}/sa/{service}")
    }
}

impl FromStr for Workload {
    type Err = InvalidWorkload;

    fn from_str(text: &str) -> Result<Self, InvalidWorkload> {
        let parts: Vec<&str> = text
            .strip_prefix(SCHEME)
            .ok_or(InvalidWorkload)?
            .split('/')
            .collect();
        let [trust_domain, "ns", namespace, "sa", service] = parts[..] else {
            return Err(InvalidWorkload);
        };
        if ![trust_domain, namespace, service].into_iter().all(is_name) {
            return Err(InvalidWorkload);
        }
        Ok(Self {
            trust_domain: trust_domain.to_owned(),
            namespace: namespace.to_owned(),
            service: service.to_owned(),
        })
    }
}

fn is_name(part: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    (1..=MAX_PART).contains(&part.len()) && part.chars().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_read_from_its_spiffe_id() {
        let text = "spiffe://kinora.local/ns/default/sa/edge";
        let edge: Workload = text.parse().unwrap();
        assert_eq!(edge.service, "edge");
        assert_eq!(edge.to_string(), text);
        assert!(edge.is_sibling_of(&edge.sibling("scheduler")));
        let elsewhere: Workload = "spiffe://other/ns/default/sa/edge".parse().unwrap();
        assert!(!edge.is_sibling_of(&elsewhere));
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "https://kinora.local/ns/default/sa/edge",
            "spiffe://kinora.local/ns/default/sa/",
            "spiffe://kinora.local/ns/default/sa/edge/",
            "spiffe://kinora.local/ns/default/sa/Edge",
            "spiffe://kinora.local/ns/de fault/sa/edge",
            "spiffe://kinora.local/sa/edge",
            "spiffe://kinora.local/ns/default/sa/edge?x",
        ] {
            assert_eq!(text.parse::<Workload>(), Err(InvalidWorkload), "{text}");
        }
        let long = format!("spiffe://k/ns/d/sa/{}", "e".repeat(64));
        assert_eq!(long.parse::<Workload>(), Err(InvalidWorkload));
    }
}
