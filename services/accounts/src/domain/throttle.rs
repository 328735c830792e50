//! What the accounts service counts, so that guessing gets slower the more often it fails.
//!
//! Tries are counted by network, by account, and by both. Who comes from a network from which somebody has signed in to
//! the account before is not stopped by what strangers do to it: they cannot lock anybody out.

use chrono::TimeDelta;
use kinora_access::throttle::Rule;
use sha2::{Digest, Sha256};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sign-ins from a network.
    SignInNetwork,
    /// Sign-ins to an account, from networks that are new to it.
    SignInAccount,
    /// Sign-ins from a network to an account.
    SignInBoth,
    /// Requests from a network that cause mails.
    MailNetwork,
    /// Sign-ups with an address.
    SignUpAccount,
    /// Resets that were asked for.
    ResetAccount,
    /// Sign-ins at providers and by passkeys that a network has begun and not ended.
    FlowNetwork,
    /// Second steps of an account, from networks that are new to it.
    SecondStepAccount,
    /// Second steps from a network to an account.
    SecondStepBoth,
    /// Archives of somebody's data.
    ExportAccount,
    /// Invitations that somebody sends, for whichever organisation.
    InviteAccount,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::SignInNetwork => "sign_in/network",
            Self::SignInAccount => "sign_in/account",
            Self::SignInBoth => "sign_in/both",
            Self::MailNetwork => "mail/network",
            Self::SignUpAccount => "sign_up/account",
            Self::ResetAccount => "reset/account",
            Self::FlowNetwork => "flow/network",
            Self::SecondStepAccount => "second_step/account",
            Self::SecondStepBoth => "second_step/both",
            Self::ExportAccount => "export/account",
            Self::InviteAccount => "invite/account",
        }
    }

    /// Whether all failures are forgiven with the first right try.
    #[must_use]
    pub const fn forgives(self) -> bool {
        matches!(self, Self::SignInBoth | Self::SecondStepBoth)
    }

    /// How it slows down.
    #[must_use]
    pub const fn rule(self) -> Rule {
        let (free, delay, longest, drain) = match self {
            Self::SignInNetwork => (50, seconds(1), minutes(15), minutes(1)),
            // A page begins one whenever it is opened, and a company has one network: this bounds the rows, no more.
            Self::FlowNetwork => (200, seconds(1), seconds(30), seconds(5)),
            // Who comes so far knows the password. Six hours are four codes of a million a day.
            Self::SecondStepAccount => (10, seconds(10), hours(6), hours(6)),
            Self::SecondStepBoth => (5, seconds(1), hours(1), hours(1)),
            Self::ExportAccount => (3, minutes(5), hours(6), hours(6)),
            // A team at once, and then fewer a day than an organisation may send: who makes many organisations gains nothing.
            Self::InviteAccount => (50, minutes(1), hours(1), minutes(15)),
            Self::SignInAccount => (20, seconds(1), minutes(15), minutes(10)),
            Self::SignInBoth => (5, seconds(1), minutes(15), minutes(10)),
            Self::MailNetwork => (20, seconds(10), hours(1), minutes(2)),
            Self::SignUpAccount | Self::ResetAccount => (3, minutes(1), hours(1), hours(1)),
        };
        Rule {
            free,
            delay,
            longest,
            drain,
        }
    }

    /// Names the counter of this kind for what is counted. Nothing personal can be read from it.
    #[must_use]
    pub fn key(self, of: &str) -> String {
        hex::encode(Sha256::digest(format!("{}\n{of}", self.name())))
    }
}

const fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

const fn minutes(minutes: i64) -> TimeDelta {
    TimeDelta::minutes(minutes)
}

const fn hours(hours: i64) -> TimeDelta {
    TimeDelta::hours(hours)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn counters_of_different_kinds_have_different_names() {
        let kinds = [
            Kind::SignInNetwork,
            Kind::SignInAccount,
            Kind::SignInBoth,
            Kind::MailNetwork,
            Kind::SignUpAccount,
            Kind::ResetAccount,
            Kind::FlowNetwork,
            Kind::SecondStepAccount,
            Kind::SecondStepBoth,
            Kind::ExportAccount,
            Kind::InviteAccount,
        ];
        let keys: HashSet<String> = kinds.map(|kind| kind.key("ada@example.org")).into();
        assert_eq!(keys.len(), kinds.len());
        assert!(keys.iter().all(|key| key.len() == 64));
    }
}
