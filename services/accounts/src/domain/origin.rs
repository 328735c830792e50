//! Where a request of a person comes from.

/// No user agent is kept beyond this many characters.
const MAX_USER_AGENT_CHARS: usize = 256;

/// No address has more.
const MAX_ADDRESS_BYTES: usize = 64;

/// Address and device, as the edge saw them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// IPv4 or IPv6 address in text form. Empty when it is not known.
    pub address: String,
    /// At most 256 characters.
    pub user_agent: String,
}

impl Origin {
    /// Keeps what fits. What is no address counts as none.
    #[must_use]
    pub fn new(address: &str, user_agent: &str) -> Self {
        let is_address =
            address.len() <= MAX_ADDRESS_BYTES && address.parse::<std::net::IpAddr>().is_ok();
        Self {
            address: if is_address { address } else { "" }.to_owned(),
            user_agent: user_agent
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_USER_AGENT_CHARS)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn only_addresses_and_short_names_of_devices_are_kept() {
        let origin = Origin::new("2001:db8::1", &"x\n".repeat(300));
        assert_eq!(origin.address, "2001:db8::1");
        assert_eq!(origin.user_agent, "x".repeat(256));
        assert_eq!(Origin::new("<script>", "").address, "");
    }
}
