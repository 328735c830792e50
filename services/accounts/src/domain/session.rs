//! How long sessions last, and what a refresh token is worth.
//!
//! A session counts its refreshes, and a refresh token is the session's id and count under an HMAC key of that session:
//! there is nothing to store for a token, and one that is used twice shows by its count. See RFC 9700, 4.14.2.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use uuid::Uuid;

use super::Time;

/// A session that is not used for this long has ended.
pub const IDLE: TimeDelta = TimeDelta::days(30);

/// However much it is used, a session has ended after this.
pub const ABSOLUTE: TimeDelta = TimeDelta::days(180);

/// Within this a client may repeat a refresh whose reply it has lost.
pub const REPEAT: TimeDelta = TimeDelta::seconds(10);

/// Random bytes of a session's HMAC key.
pub const KEY_BYTES: usize = 32;

const PREFIX: &str = "kr_";

/// No refresh token is longer.
const MAX_BYTES: usize = 128;

/// Whether a session goes on at `now`.
#[must_use]
pub fn is_live(end: Option<Time>, expire: Time, last_use: Time, now: Time) -> bool {
    end.is_none() && now < expire && now < last_use + IDLE
}

/// Until when a refresh token is good that is handed out at `now`.
#[must_use]
pub fn refresh_expire(expire: Time, now: Time) -> Time {
    expire.min(now + IDLE)
}

/// When the factors of a session were shown last. What changes credentials wants all of them fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactorTimes {
    /// A password, an account at a provider, or a passkey.
    pub first: Time,
    /// A code, or a passkey as the second factor that it is as well. None when the first is all that has to be fresh.
    pub second: Option<Time>,
}

impl FactorTimes {
    /// One factor alone, which is all that is asked for.
    #[must_use]
    pub const fn only(first: Time) -> Self {
        Self {
            first,
            second: None,
        }
    }

    /// All factors of so many at once.
    #[must_use]
    pub fn all(factors: u8, time: Time) -> Self {
        Self {
            first: time,
            second: (factors > 1).then_some(time),
        }
    }

    /// Since when nothing is older.
    #[must_use]
    pub fn oldest(self) -> Time {
        self.second
            .map_or(self.first, |second| second.min(self.first))
    }
}

/// What is done with a genuine refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest: the next one takes its place.
    Rotate,
    /// Its successor was made a moment ago and seems to be lost: it is handed out once more.
    Repeat,
    /// It was used long ago, by whomever: the session ends.
    Reused,
}

/// Judges a token by its count.
#[must_use]
pub fn judge(shown: i64, newest: i64, since_rotation: TimeDelta) -> Verdict {
    if shown == newest {
        Verdict::Rotate
    } else if shown.checked_add(1) == Some(newest) && since_rotation <= REPEAT {
        Verdict::Repeat
    } else {
        Verdict::Reused
    }
}

/// A refresh token as somebody sent it. Not to be believed before [`Self::is_genuine`].
#[derive(Clone)]
pub struct RefreshToken {
    /// Of this session.
    pub session: Uuid,
    /// The session's count when it was made.
    pub counter: i64,
    mac: Vec<u8>,
}

impl RefreshToken {
    /// Writes the token of a session for a count.
    #[must_use]
    pub fn write(session: Uuid, counter: i64, key: &[u8]) -> String {
        let mac = sign(&Key::new(HMAC_SHA256, key), &message(session, counter));
        let mac = URL_SAFE_NO_PAD.encode(mac);
        format!("{PREFIX}{}.{counter}.{mac}", session.simple())
    }

    /// Whether the session with this key has made it.
    #[must_use]
    pub fn is_genuine(&self, key: &[u8]) -> bool {
        let message = message(self.session, self.counter);
        verify(&Key::new(HMAC_SHA256, key), &message, &self.mac).is_ok()
    }
}

/// The text is no refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRefreshToken;

impl FromStr for RefreshToken {
    type Err = NoRefreshToken;

    fn from_str(text: &str) -> Result<Self, NoRefreshToken> {
        if text.len() > MAX_BYTES {
            return Err(NoRefreshToken);
        }
        let parts = text.strip_prefix(PREFIX).and_then(|text| {
            let (session, rest) = text.split_once('.')?;
            let (counter, mac) = rest.split_once('.')?;
            Some(Self {
                session: session.parse().ok()?,
                counter: counter.parse().ok()?,
                mac: URL_SAFE_NO_PAD.decode(mac).ok()?,
            })
        });
        parts.ok_or(NoRefreshToken)
    }
}

fn message(session: Uuid, counter: i64) -> Vec<u8> {
    [session.as_bytes().as_slice(), &counter.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_of_a_session_is_genuine_under_its_key_and_for_its_count_only() {
        let session = Uuid::now_v7();
        let text = RefreshToken::write(session, 7, &[1; KEY_BYTES]);
        let token: RefreshToken = text.parse().unwrap();
        assert_eq!((token.session, token.counter), (session, 7));
        assert!(token.is_genuine(&[1; KEY_BYTES]));
        assert!(!token.is_genuine(&[2; KEY_BYTES]));
        for other in [
            text.replace(".7.", ".8."),
            text.replace(
                &session.simple().to_string(),
                &Uuid::now_v7().simple().to_string(),
            ),
        ] {
            let token: RefreshToken = other.parse().unwrap();
            assert!(!token.is_genuine(&[1; KEY_BYTES]), "{other}");
        }
        for end in 0..text.len() {
            let token: Result<RefreshToken, _> = text[..end].parse();
            assert!(token.is_err() || !token.unwrap().is_genuine(&[1; KEY_BYTES]));
        }
    }

    #[test]
    fn texts_that_are_no_token_are_told_apart() {
        for text in [
            "",
            "kr_",
            "kr_..",
            "kr_x.1.AA",
            &format!("kr_{}", "a".repeat(1 << 20)),
        ] {
            assert!(text.parse::<RefreshToken>().is_err());
        }
    }

    #[test]
    fn only_the_newest_token_rotates_and_only_the_one_before_repeats_for_a_moment() {
        let moment = TimeDelta::seconds(10);
        let later = moment + TimeDelta::microseconds(1);
        for (shown, newest, since, verdict) in [
            (5, 5, later, Verdict::Rotate),
            (4, 5, moment, Verdict::Repeat),
            (4, 5, later, Verdict::Reused),
            (3, 5, TimeDelta::zero(), Verdict::Reused),
            (6, 5, TimeDelta::zero(), Verdict::Reused),
            (i64::MAX, 0, TimeDelta::zero(), Verdict::Reused),
        ] {
            assert_eq!(judge(shown, newest, since), verdict, "{shown} of {newest}");
        }
    }

    #[test]
    fn session_is_as_fresh_as_its_older_factor() {
        let early: Time = "2026-11-22T12:00:00Z".parse().unwrap();
        let late = early + TimeDelta::minutes(5);
        let oldest = |first, second| FactorTimes { first, second }.oldest();
        assert_eq!(oldest(early, Some(late)), early);
        assert_eq!(oldest(late, Some(early)), early);
        assert_eq!(oldest(late, None), late);
        assert_eq!(FactorTimes::all(1, late), FactorTimes::only(late));
        assert_eq!(FactorTimes::all(2, late).second, Some(late));
    }

    #[test]
    fn session_ends_by_rest_by_age_and_by_decision() {
        let start: Time = "2026-11-22T12:00:00Z".parse().unwrap();
        let expire = start + ABSOLUTE;
        assert!(is_live(
            None,
            expire,
            start,
            start + IDLE - TimeDelta::seconds(1)
        ));
        assert!(!is_live(None, expire, start, start + IDLE));
        assert!(!is_live(None, expire, expire - IDLE / 2, expire));
        assert!(!is_live(Some(start), expire, start, start));
        assert_eq!(refresh_expire(expire, start), start + IDLE);
        assert_eq!(refresh_expire(expire, expire - TimeDelta::days(1)), expire);
    }
}
