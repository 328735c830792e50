//! What an endpoint can be told of.

use std::str::FromStr;

use crate::domain::job::State;

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The job waits for a worker: submitted, approved, or again after an attempt that did not end well.
    Queued,
    /// A worker has taken the job.
    Started,
    /// The attempt gets on, or its preview is there.
    Progress,
    /// The clip is there.
    Completed,
    /// No further attempt is made.
    Failed,
    /// Ended by its owner.
    Cancelled,
    /// Not started, or not approved, in time.
    Expired,
}

/// The name is none of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such event")]
pub struct UnknownEvent;

impl EventKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Started,
        Self::Progress,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The kind of a transition into `state`.
    #[must_use]
    pub const fn of_transition(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::Running => Self::Started,
            // Not an end: the clip is still to be made.
            State::AwaitingApproval => Self::Progress,
            State::Completed => Self::Completed,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
            State::Expired => Self::Expired,
        }
    }

    /// The name in subscriptions and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "video.queued",
            Self::Started => "video.started",
            Self::Progress => "video.progress",
            Self::Completed => "video.completed",
            Self::Failed => "video.failed",
            Self::Cancelled => "video.cancelled",
            Self::Expired => "video.expired",
        }
    }

    /// The number in the database, 0 to 6.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::Queued => 0,
            Self::Started => 1,
            Self::Progress => 2,
            Self::Completed => 3,
            Self::Failed => 4,
            Self::Cancelled => 5,
            Self::Expired => 6,
        }
    }

    /// The kind with a number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

impl FromStr for EventKind {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        let mut kinds = Self::ALL.into_iter();
        kinds.find(|kind| kind.name() == text).ok_or(UnknownEvent)
    }
}

/// The events that an endpoint wants, as a set of bits by number. The empty set stands for all but progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscription(i32);

impl Subscription {
    /// The set of bits, as the database keeps it.
    #[must_use]
    pub const fn from_bits(bits: i32) -> Self {
        Self(bits)
    }

    /// The set of bits.
    #[must_use]
    pub const fn bits(self) -> i32 {
        self.0
    }

    /// Whether the endpoint wants such an event.
    #[must_use]
    pub const fn wants(self, kind: EventKind) -> bool {
        match (self.0, kind) {
            (0, EventKind::Progress) => false,
            (0, _) => true,
            (bits, kind) => bits & (1 << kind.number()) != 0,
        }
    }

    /// The events that were named; none for the default.
    pub fn named(self) -> impl Iterator<Item = EventKind> {
        let mut kinds = EventKind::ALL.into_iter().collect::<Vec<_>>();
        kinds.retain(|kind| self.0 & (1 << kind.number()) != 0);
        kinds.into_iter()
    }
}

impl FromIterator<EventKind> for Subscription {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        let add = |bits, kind: EventKind| bits | (1 << kind.number());
        Self(kinds.into_iter().fold(0, add))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for kind in EventKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(EventKind::from_number(kind.number()), Some(kind));
        }
        for wrong in ["", "video", "video.", "VIDEO.QUEUED", "video.completed "] {
            assert_eq!(wrong.parse::<EventKind>(), Err(UnknownEvent), "{wrong}");
        }
        assert_eq!(EventKind::from_number(7), None);
    }

    #[test]
    fn default_subscription_wants_all_but_progress() {
        for kind in EventKind::ALL {
            let wants = Subscription::default().wants(kind);
            assert_eq!(wants, kind != EventKind::Progress, "{kind:?}");
        }
        assert_eq!(Subscription::default().named().count(), 0);
    }

    #[test]
    fn subscription_wants_what_it_names() {
        let named = [EventKind::Progress, EventKind::Failed];
        let subscription: Subscription = named.into_iter().collect();
        assert_eq!(subscription.named().collect::<Vec<_>>(), named);
        for kind in EventKind::ALL {
            assert_eq!(subscription.wants(kind), named.contains(&kind), "{kind:?}");
        }
    }
}
