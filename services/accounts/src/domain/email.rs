//! Mail addresses.
//!
//! Only ASCII is taken, and a domain in another script becomes punycode: what looks like another address is not one.

/// No address is longer (RFC 5321).
const MAX_BYTES: usize = 254;

/// Nor is the part before the `@`.
const MAX_LOCAL_BYTES: usize = 64;

/// An address that mail can be sent to.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    shown: String,
    key: String,
}

/// The text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEmail;

impl Email {
    /// Reads an address; white space around it is dropped.
    ///
    /// # Errors
    /// [`NoEmail`] for what is no address, or is longer than 254 bytes.
    pub fn parse(text: &str) -> Result<Self, NoEmail> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if text.len() > MAX_BYTES {
            return Err(NoEmail);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(NoEmail)?;
        if !is_local_part(local) {
            return Err(NoEmail);
        }
        let domain = ascii_domain(domain).ok_or(NoEmail)?;
        let shown = format!("{local}@{domain}");
        if shown.len() > MAX_BYTES {
            return Err(NoEmail);
        }
        Ok(Self {
            key: shown.to_ascii_lowercase(),
            shown,
        })
    }

    /// As it was given, with the domain in punycode.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Equal for equal accounts: in lower case.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands before the `@`, in lower case.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.key.rsplit_once('@').map_or("", |(local, _)| local)
    }
}

// Personal: never printed.
impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Email(..)")
    }
}

fn is_local_part(text: &str) -> bool {
    let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&c);
    (1..=MAX_LOCAL_BYTES).contains(&text.len())
        && text.bytes().all(is_allowed)
        && !text.starts_with('.')
        && !text.ends_with('.')
        && !text.contains("..")
}

/// The domain in lower case and punycode. None for what is none, and for addresses of machines.
fn ascii_domain(text: &str) -> Option<String> {
    // The parser takes out percent escapes, which have no place here.
    if text.contains('%') {
        return None;
    }
    let Ok(url::Host::Domain(domain)) = url::Host::parse(text) else {
        return None;
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (domain.contains('.') && domain.split('.').all(is_label)).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_account_whatever_their_case() {
        let email = Email::parse(" Ada.Lovelace+video@Example.ORG\n").unwrap();
        assert_eq!(email.shown(), "Ada.Lovelace+video@example.org");
        assert_eq!(email.key(), "ada.lovelace+video@example.org");
        assert_eq!(email.local_part(), "ada.lovelace+video");
    }

    #[test]
    fn domain_in_another_script_becomes_punycode_and_is_another_account() {
        let cyrillic = Email::parse("ada@ex\u{430}mple.org").unwrap();
        assert!(cyrillic.key().starts_with("ada@xn--"), "{}", cyrillic.key());
        assert_ne!(cyrillic, Email::parse("ada@example.org").unwrap());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_domain = format!("ada@{}.org", "a.".repeat(130));
        let huge = format!("{}@example.org", "a".repeat(1 << 20));
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "ada@example",
            "ada@127.0.0.1",
            "ada@[::1]",
            ".ada@example.org",
            "ada.@example.org",
            "a..da@example.org",
            "a da@example.org",
            "\u{430}da@example.org",
            "ada@example.org\r\nBcc: eve@example.org",
            "ada@exa mple.org",
            "ada@-example.org",
            "ada@example..org",
            "ada@%65xample.org",
            "ada<eve@example.org>",
            "\"ada\"@example.org",
            "ada@eve@example.org",
            "ada\0@example.org",
            &long_local,
            &long_domain,
            &huge,
        ] {
            assert!(Email::parse(text).is_err(), "{text:.80}");
        }
    }

    #[test]
    fn mail_can_be_sent_to_what_is_taken() {
        for text in [
            "ada@example.org",
            "a!#$%&'*+-/=?^_`{|}~b@example.org",
            "x@ex\u{e4}mple.de",
        ] {
            let email = Email::parse(text).unwrap();
            assert!(email.shown().parse::<lettre::Address>().is_ok(), "{text}");
        }
    }
}
