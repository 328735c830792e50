//! Transfers between accounts. What one account gains another loses.

use std::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::credits::Credits;
use super::payer::Payer;

/// Transfers are named in it by their keys.
const TRANSFERS: Uuid = Uuid::from_u128(0x8f2b_5c41_6f0e_4d6a_9d3c_27d1_5a0b_7e11);

/// An account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What is left of a grant.
    Grant(Uuid),
    /// What is set aside for a payer's jobs.
    Held(Payer),
    /// What a payer owes, as a negative amount.
    Debt(Payer),
    /// The platform's.
    System(SystemAccount),
}

/// An account of the platform. Its balance is the sum of its entries and kept nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemAccount {
    /// Credits that were given away come out of it.
    Promotion,
    /// Credits that were bought come out of it.
    Clearing,
    /// Credits of delivered clips.
    Revenue,
    /// Credits of grants that ended.
    Expired,
    /// What operators took away, and what the platform lost.
    Adjustment,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(id) => write!(f, "grant:{id}"),
            Self::Held(payer) => write!(f, "held:{payer}"),
            Self::Debt(payer) => write!(f, "debt:{payer}"),
            Self::System(account) => write!(f, "system:{}", account.name()),
        }
    }
}

impl SystemAccount {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Promotion => "promotion",
            Self::Clearing => "clearing",
            Self::Revenue => "revenue",
            Self::Expired => "expired",
            Self::Adjustment => "adjustment",
        }
    }
}

/// What a transfer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransferKind {
    /// Credits arrived.
    Grant,
    /// Credits were set aside for a job.
    Hold,
    /// A delivered clip was paid.
    Capture,
    /// Held credits came back.
    Release,
    /// What was captured came back.
    Refund,
    /// An operator's correction.
    Adjust,
    /// A grant ended with credits in it.
    Expire,
}

impl TransferKind {
    const ALL: [Self; 7] = [
        Self::Grant,
        Self::Hold,
        Self::Capture,
        Self::Release,
        Self::Refund,
        Self::Adjust,
        Self::Expire,
    ];

    /// How it stands in the database.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Grant => 1,
            Self::Hold => 2,
            Self::Capture => 3,
            Self::Release => 4,
            Self::Refund => 5,
            Self::Adjust => 6,
            Self::Expire => 7,
        }
    }

    /// What stands in the database.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// What one account gains, or loses when it is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which account.
    pub account: Account,
    /// Not 0.
    pub amount: i64,
}

/// A movement of credits: entries that sum to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// What makes it one: there is one transfer of a key.
    pub key: String,
    /// What was asked for, by which a repetition is told from another request under the same key.
    pub body: String,
    /// What it is about.
    pub kind: TransferKind,
    /// Whose credits move.
    pub payer: Payer,
    /// The job that it is about.
    pub job: Option<Uuid>,
    /// The person whose call it was. None for the platform's own.
    pub user: Option<Uuid>,
    /// At most 500 characters.
    pub note: String,
    /// In the order in which they were made.
    pub entries: Vec<Entry>,
}

impl Transfer {
    /// Moves nothing yet.
    #[must_use]
    pub fn new(key: String, kind: TransferKind, payer: Payer) -> Self {
        Self {
            key,
            body: String::new(),
            kind,
            payer,
            job: None,
            user: None,
            note: String::new(),
            entries: Vec::new(),
        }
    }

    /// It is about a job.
    #[must_use]
    pub const fn of_job(mut self, job: Uuid) -> Self {
        self.job = Some(job);
        self
    }

    /// Somebody asked for it.
    #[must_use]
    pub const fn by(mut self, user: Option<Uuid>) -> Self {
        self.user = user;
        self
    }

    /// What was asked for.
    #[must_use]
    pub fn asked(mut self, body: String) -> Self {
        self.body = body;
        self
    }

    /// Says why.
    #[must_use]
    pub fn noted(mut self, note: &str) -> Self {
        note.clone_into(&mut self.note);
        self
    }

    /// An account gains credits.
    #[must_use]
    pub fn gains(mut self, account: Account, credits: Credits) -> Self {
        self.add(account, credits.get());
        self
    }

    /// An account loses credits.
    #[must_use]
    pub fn loses(mut self, account: Account, credits: Credits) -> Self {
        self.add(account, -credits.get());
        self
    }

    fn add(&mut self, account: Account, amount: i64) {
        if amount != 0 {
            self.entries.push(Entry { account, amount });
        }
    }

    /// What an account gains by it; 0 when that is nothing.
    #[must_use]
    pub fn gained(&self, account: Account) -> Credits {
        let entries = self.entries.iter().filter(|it| it.account == account);
        let amounts = entries.filter_map(|it| Credits::new(it.amount));
        amounts.sum()
    }

    /// The id of the transfer of a key.
    #[must_use]
    pub fn id_of(key: &str) -> Uuid {
        Uuid::new_v5(&TRANSFERS, key.as_bytes())
    }

    /// Whether what is gained was lost elsewhere, and anything moves at all.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let sum: i128 = self.entries.iter().map(|it| i128::from(it.amount)).sum();
        sum == 0 && !self.entries.is_empty()
    }

    /// By which bodies are compared.
    #[must_use]
    pub fn hash_of(body: &str) -> Vec<u8> {
        Sha256::digest(body).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credits(value: i64) -> Credits {
        Credits::new(value).unwrap()
    }

    #[test]
    fn a_transfer_balances_or_is_none() {
        let payer = Payer::User(Uuid::nil());
        let grant = Account::Grant(Uuid::nil());
        let made = || Transfer::new("key".to_owned(), TransferKind::Hold, payer);
        assert!(!made().is_balanced(), "it moves nothing");
        let moved = made()
            .loses(grant, credits(5))
            .gains(Account::Held(payer), credits(5));
        assert!(moved.is_balanced());
        assert!(!moved.gains(grant, credits(1)).is_balanced());
        let nothing = made()
            .gains(grant, Credits::ZERO)
            .loses(grant, Credits::ZERO);
        assert_eq!(nothing.entries, []);
        let wrapping = made().gains(grant, Credits::MAX).gains(grant, Credits::MAX);
        assert!(
            !wrapping.gains(grant, credits(2)).is_balanced(),
            "sums do not wrap"
        );
    }

    #[test]
    fn ids_are_those_of_the_keys() {
        assert_eq!(Transfer::id_of("hold:1"), Transfer::id_of("hold:1"));
        assert_ne!(Transfer::id_of("hold:1"), Transfer::id_of("hold:2"));
        assert_eq!(Transfer::id_of("hold:1").get_version_num(), 5);
    }

    #[test]
    fn accounts_are_told_apart_by_their_names() {
        let id = Uuid::nil();
        let payers = [Payer::User(id), Payer::Organisation(id)];
        let mut names: Vec<String> = payers
            .into_iter()
            .flat_map(|payer| [Account::Held(payer), Account::Debt(payer)])
            .chain([Account::Grant(id), Account::System(SystemAccount::Revenue)])
            .map(|account| account.to_string())
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 6);
        assert!(names.contains(&format!("held:org:{id}")));
    }

    #[test]
    fn kinds_are_kept_by_their_codes() {
        for kind in TransferKind::ALL {
            assert_eq!(TransferKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(TransferKind::from_code(0), None);
    }
}
