//! Prompts that a person has to look at.

use kinora_moderation::{Category, Finding, Layer, Verdict};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Time;
use super::finding::{TextFinding, TextKind};

/// How long a decision is good for, and how long a prompt is kept that nobody has asked for again.
pub const KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);

/// So many prompts of one owner wait at a time.
pub const MAX_PENDING: u64 = 20;

/// Where a review stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewStatus {
    /// Nobody has decided.
    Pending,
    /// Its owner may generate it.
    Approved,
    /// Its owner may not.
    Refused,
}

impl ReviewStatus {
    /// As it stands in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Refused => "refused",
        }
    }

    /// Reads what stands in the table.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Refused]
            .into_iter()
            .find(|it| it.name() == name)
    }
}

/// What a person looks at.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReviewTexts {
    /// What the clip shall show.
    pub prompt: String,
    /// What it must not show.
    pub negative_prompt: String,
    /// In which style.
    pub style: String,
    /// Names and sheets.
    pub characters: Vec<(String, String)>,
}

/// A finding as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptFinding {
    text: TextKind,
    category: Category,
    rule_id: String,
    layer: Layer,
    score: Option<f32>,
    evidence: String,
}

impl From<&TextFinding> for KeptFinding {
    fn from(found: &TextFinding) -> Self {
        let finding = &found.finding;
        Self {
            text: found.text,
            category: finding.category,
            rule_id: finding.rule_id.clone(),
            layer: finding.layer,
            score: finding.score,
            evidence: finding.evidence.clone(),
        }
    }
}

impl From<KeptFinding> for TextFinding {
    fn from(kept: KeptFinding) -> Self {
        let finding = Finding {
            category: kept.category,
            // Nothing else is put into the queue.
            verdict: Verdict::Review,
            rule_id: kept.rule_id,
            layer: kept.layer,
            score: kept.score,
            evidence: kept.evidence,
            span: None,
        };
        Self {
            text: kept.text,
            finding,
        }
    }
}

/// An entry of the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Review {
    /// By time.
    pub id: Uuid,
    /// Whose prompt it is.
    pub owner: String,
    /// Where it stands.
    pub status: ReviewStatus,
    /// What it is about.
    pub texts: ReviewTexts,
    /// Why it needs review.
    pub findings: Vec<TextFinding>,
    /// How often it was asked for.
    pub requests: u32,
    /// When it was asked for first.
    pub create_time: Time,
    /// When it was decided.
    pub decide_time: Option<Time>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// What they noted.
    pub note: String,
    /// When it is removed.
    pub purge_time: Time,
}
