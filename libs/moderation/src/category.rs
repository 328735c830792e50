//! What a text can be about that a policy has a word on.

use serde::{Deserialize, Serialize};

/// A class of content. Its id is its name in snake case, in policies, data files and on the wire alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Minors in anything sexual, drawn or real. Refused in every configuration.
    ChildSexual,
    /// A real person, sexual or degrading, whose consent nobody can see in a text. Refused in every configuration.
    RealPersonSexual,
    /// Adults, sexual or nude.
    Sexual,
    /// Wounds, killing and torture that are shown for their own sake.
    GraphicViolence,
    /// Contempt or violence against people for what they are.
    Hate,
    /// Contempt or threats against one person.
    Harassment,
    /// Suicide and self-injury: how to, or as something to wish for.
    SelfHarm,
    /// Praise of, or recruitment for, violent movements.
    Extremism,
    /// How to make or get weapons, explosives and hard drugs.
    DangerousGoods,
    /// Made to be taken for real: forged news, impersonation, scams.
    Deception,
}

impl Category {
    /// All of them, the always refused ones first.
    pub const ALL: [Self; 10] = [
        Self::ChildSexual,
        Self::RealPersonSexual,
        Self::Sexual,
        Self::GraphicViolence,
        Self::Hate,
        Self::Harassment,
        Self::SelfHarm,
        Self::Extremism,
        Self::DangerousGoods,
        Self::Deception,
    ];

    /// Its name in policies, data files and on the wire.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::ChildSexual => "child_sexual",
            Self::RealPersonSexual => "real_person_sexual",
            Self::Sexual => "sexual",
            Self::GraphicViolence => "graphic_violence",
            Self::Hate => "hate",
            Self::Harassment => "harassment",
            Self::SelfHarm => "self_harm",
            Self::Extremism => "extremism",
            Self::DangerousGoods => "dangerous_goods",
            Self::Deception => "deception",
        }
    }

    /// The category of an id. None when there is none.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.id() == id)
    }

    /// Whether no policy, audience or allow-list can have it generated. What only hints at it a person may let pass.
    #[must_use]
    pub const fn is_always_refused(self) -> bool {
        matches!(self, Self::ChildSexual | Self::RealPersonSexual)
    }
}

#[cfg(test)]
mod tests {
    use super::Category;

    #[test]
    fn ids_lead_back_to_their_categories() {
        for category in Category::ALL {
            assert_eq!(Category::from_id(category.id()), Some(category));
        }
        assert_eq!(Category::from_id("Sexual"), None);
    }
}
