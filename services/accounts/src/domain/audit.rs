//! The audit log as it is read.

use uuid::Uuid;

use super::Time;

/// Which lines are asked for. What is not set fits every line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who did it.
    pub actor: Option<String>,
    /// Whom it concerns.
    pub subject: Option<Uuid>,
    /// The action, or its beginning.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<Time>,
    /// Before.
    pub until: Option<Time>,
}

impl Filter {
    /// The filter as texts, by which page tokens tell filters apart.
    #[must_use]
    pub fn parts(&self) -> [String; 5] {
        let time = |time: Option<Time>| time.map(|time| time.to_rfc3339()).unwrap_or_default();
        [
            self.actor.clone().unwrap_or_default(),
            self.subject.map(|id| id.to_string()).unwrap_or_default(),
            self.action.clone().unwrap_or_default(),
            time(self.since),
            time(self.until),
        ]
    }
}
