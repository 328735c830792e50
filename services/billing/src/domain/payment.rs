//! What is bought with money, and how far that is.

use std::fmt;
use std::str::FromStr;

/// What is sold: by its key, `pack:<name>` or `plan:<name>`, it stands in the database, in the metadata of what is bought,
/// and as the key of the offer at Stripe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A pack, by its name.
    Pack(String),
    /// A month of a plan, by its name.
    Plan(String),
}

/// The text names nothing that is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is nothing that is sold")]
pub struct NotAnItem;

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pack(name) => write!(f, "pack:{name}"),
            Self::Plan(name) => write!(f, "plan:{name}"),
        }
    }
}

impl FromStr for Item {
    type Err = NotAnItem;

    fn from_str(text: &str) -> Result<Self, NotAnItem> {
        match text.split_once(':') {
            Some(("pack", name)) if !name.is_empty() => Ok(Self::Pack(name.to_owned())),
            Some(("plan", name)) if !name.is_empty() => Ok(Self::Plan(name.to_owned())),
            _ => Err(NotAnItem),
        }
    }
}

/// The names in the metadata of whatever a checkout leads to at Stripe.
pub mod metadata {
    /// The payer's key. The gateway writes it on customers; on checkouts it is ours.
    pub const PAYER: &str = "payer";
    /// The checkout's id, a UUID.
    pub const CHECKOUT: &str = "checkout";
    /// The item's key.
    pub const ITEM: &str = "item";
}

/// A state that stands in the database as a small number.
macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// How it stands in the database.
            #[must_use]
            pub const fn code(self) -> i16 {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// What stands in the database.
            #[must_use]
            #[allow(dead_code, reason = "not every state is read again one by one")]
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

coded! {
    /// How far a checkout is.
    CheckoutState {
        /// It can be paid.
        Open = 1,
        /// It is paid in a way that takes days.
        Processing = 2,
        /// The money is here.
        Paid = 3,
        /// Nobody paid, and nobody can any longer.
        Expired = 4,
    }
}

coded! {
    /// Whether a subscription is paid.
    SubscriptionStanding {
        /// The first payment is not there yet.
        Incomplete = 1,
        /// It is paid, or free for a while.
        Active = 2,
        /// A payment has failed and is tried again.
        PastDue = 3,
        /// It stands still, or its payments are tried no longer.
        Suspended = 4,
        /// It has ended, or never began.
        Ended = 5,
    }
}

coded! {
    /// Who has the money of a dispute.
    DisputeStanding {
        /// It is here: the bank only asks, or it was settled otherwise.
        Here = 1,
        /// The bank has it until it decides.
        AtBank = 2,
        /// It came back.
        Won = 3,
        /// It is gone.
        Lost = 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_known_by_its_key() {
        for item in [
            Item::Pack("small".to_owned()),
            Item::Plan("creator".to_owned()),
        ] {
            assert_eq!(item.to_string().parse(), Ok(item));
        }
        for text in ["", "pack", "pack:", "plan:", "voucher:x"] {
            assert_eq!(text.parse::<Item>(), Err(NotAnItem), "{text}");
        }
    }

    #[test]
    fn states_are_kept_by_their_codes() {
        for code in 1..=4 {
            assert_eq!(
                CheckoutState::from_code(code).map(CheckoutState::code),
                Some(code)
            );
            assert_eq!(
                DisputeStanding::from_code(code).map(DisputeStanding::code),
                Some(code)
            );
        }
        for code in 1..=5 {
            let standing = SubscriptionStanding::from_code(code);
            assert_eq!(standing.map(SubscriptionStanding::code), Some(code));
        }
        assert_eq!(CheckoutState::from_code(5), None);
        assert_eq!(SubscriptionStanding::from_code(0), None);
    }
}
