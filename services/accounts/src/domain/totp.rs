//! Time-based codes: RFC 6238 with SHA-1, six digits and steps of 30 seconds, which every authenticator knows.

use totp_rs::{Algorithm, Builder, Secret, Totp};

use super::Time;
use crate::error::Error;
use crate::random;

/// As RFC 4226 recommends.
const SECRET_BYTES: usize = 20;

/// Steps before and after the present one whose codes are taken: clocks of telephones differ.
const SKEW_STEPS: u16 = 1;

/// What authenticators show as the name of the platform.
const ISSUER: &str = "Kinora";

/// The secret that an authenticator shares with us.
pub struct TotpSecret(Vec<u8>);

impl TotpSecret {
    /// A new one of 160 bits.
    ///
    /// # Errors
    /// [`Error::Broken`] when the system has no random bytes.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self(random::bytes::<SECRET_BYTES>()?.to_vec()))
    }

    /// One that was stored.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// For storing, sealed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For typing into an authenticator.
    #[must_use]
    pub fn base32(&self) -> String {
        Secret::from(self.0.clone()).to_base32()
    }

    /// For a QR code. `account` is what the authenticator shows as the name of the account.
    ///
    /// # Errors
    /// [`Error::Broken`] when the name cannot be in such an address.
    pub fn url(&self, account: &str) -> Result<String, Error> {
        // A colon would end the name of the platform.
        let account = account.replace(':', " ");
        let totp = self.totp(&account)?;
        totp.to_url()
            .map_err(|error| Error::Broken(format!("no otpauth address: {error}")))
    }

    /// The step whose code this is, when it is near `now` and later than `last_step`: a code is good once.
    ///
    /// # Errors
    /// [`Error::Broken`] when the stored secret is too short to be one.
    pub fn accepted_step(
        &self,
        code: &str,
        now: Time,
        last_step: i64,
    ) -> Result<Option<i64>, Error> {
        let is_code = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
        let Ok(seconds) = u64::try_from(now.timestamp()) else {
            return Ok(None);
        };
        if !is_code {
            return Ok(None);
        }
        let step = self.totp("")?.check(code, seconds);
        let step = step.and_then(|step| i64::try_from(step).ok());
        Ok(step.filter(|step| *step > last_step))
    }

    fn totp(&self, account: &str) -> Result<Totp, Error> {
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_skew(SKEW_STEPS)
            .with_step_duration(30)
            .with_secret(self.0.clone())
            .with_issuer(Some(ISSUER))
            .with_account_name(account)
            .build()
            .map_err(|error| Error::Broken(format!("a stored secret is none: {error}")))
    }

    /// The code of a moment, as an authenticator shows it.
    #[cfg(test)]
    pub(crate) fn code_at(&self, now: Time) -> String {
        let seconds = u64::try_from(now.timestamp()).unwrap();
        self.totp("").unwrap().generate(seconds).to_string()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(seconds, 0).unwrap()
    }

    /// RFC 6238, appendix B, with the last six of eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = TotpSecret::from_bytes(b"12345678901234567890".to_vec());
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (20_000_000_000, "353130"),
        ] {
            let step = secret.accepted_step(code, at(seconds), 0).unwrap();
            assert_eq!(step, Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_is_good_for_one_step_around_its_own_and_once() {
        let secret = TotpSecret::generate().unwrap();
        let now = at(1_800_000_000);
        let code = secret.code_at(now);
        let accepted = |later: i64, last| {
            let time = now + TimeDelta::seconds(later);
            secret.accepted_step(&code, time, last).unwrap()
        };
        let step = 60_000_000;
        assert_eq!(accepted(0, 0), Some(step));
        assert_eq!(accepted(59, 0), Some(step));
        assert_eq!(accepted(-30, 0), Some(step));
        assert_eq!(accepted(60, 0), None);
        assert_eq!(accepted(-31, 0), None);
        assert_eq!(accepted(0, step - 1), Some(step));
        assert_eq!(accepted(0, step), None);
    }

    #[test]
    fn what_is_no_code_is_not_taken() {
        let secret = TotpSecret::generate().unwrap();
        let now = at(1_800_000_000);
        let code = secret.code_at(now);
        let spaced = format!("{} {}", &code[..3], &code[3..]);
        for text in [
            "",
            "1",
            &code[..5],
            &format!("{code}0"),
            &spaced,
            "٠١٢٣٤٥",
            "-12345",
        ] {
            assert_eq!(
                secret.accepted_step(text, now, 0).unwrap(),
                None,
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_address_names_platform_account_and_secret() {
        let secret = TotpSecret::generate().unwrap();
        let url = secret.url("a@example.org").unwrap();
        assert!(
            url.starts_with("otpauth://totp/Kinora:a%40example.org?"),
            "{url}"
        );
        assert!(
            url.contains(&format!("secret={}", secret.base32())),
            "{url}"
        );
        assert_eq!(secret.base32().len(), 32);
    }
}
