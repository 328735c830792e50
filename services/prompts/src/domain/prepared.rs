//! A prompt as a model gets it.

use std::time::Duration;

use kinora_moderation::Verdict;
use uuid::Uuid;

use super::finding::TextFinding;
use super::order::Enhancer;

/// Why a prompt was not rewritten by whom it should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The language model was too late.
    LlmTimeout,
    /// It is away, or broke.
    LlmUnavailable,
    /// Too many wait for it.
    LlmBusy,
    /// What it wrote is not what the caller wanted.
    LlmAnswerRejected,
    /// There is none.
    LlmNotConfigured,
    /// The rules had no answer in time, or failed.
    EnhancementFailed,
    /// Nobody knows for what to rewrite it.
    FamilyUnknown,
    /// What was written may not be generated, although the original may.
    EnhancedPromptRefused,
}

impl Fallback {
    /// As the contract names it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::LlmTimeout => "LLM_TIMEOUT",
            Self::LlmUnavailable => "LLM_UNAVAILABLE",
            Self::LlmBusy => "LLM_BUSY",
            Self::LlmAnswerRejected => "LLM_ANSWER_REJECTED",
            Self::LlmNotConfigured => "LLM_NOT_CONFIGURED",
            Self::EnhancementFailed => "ENHANCEMENT_FAILED",
            Self::FamilyUnknown => "FAMILY_UNKNOWN",
            Self::EnhancedPromptRefused => "ENHANCED_PROMPT_REFUSED",
        }
    }

    /// Whether the same order would end likewise later, so that its result may be kept.
    #[must_use]
    pub const fn is_lasting(self) -> bool {
        match self {
            Self::LlmNotConfigured | Self::FamilyUnknown | Self::EnhancedPromptRefused => true,
            Self::LlmTimeout
            | Self::LlmUnavailable
            | Self::LlmBusy
            | Self::LlmAnswerRejected
            | Self::EnhancementFailed => false,
        }
    }
}

/// What moderation says, and what people have decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Moderation {
    /// Whether it may be generated.
    pub verdict: Verdict,
    /// Why.
    pub findings: Vec<TextFinding>,
    /// Digest of the policy.
    pub policy: String,
    /// The entry in the queue.
    pub review: Option<Uuid>,
    /// Whether it was judged for somebody who may have adult content.
    pub is_adult: bool,
}

/// What became of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// What the caller wrote.
    pub original: String,
    /// What the model gets. Empty when it is refused.
    pub prompt: String,
    /// What the clip must not show.
    pub negative_prompt: String,
    /// What is spoken.
    pub speech: Vec<String>,
    /// What is heard.
    pub audio: Option<String>,
    /// Of the original, when it is sure.
    pub language: Option<String>,
    /// Whether it may be generated.
    pub moderation: Moderation,
    /// Who has rewritten it: nobody, the rules or a language model.
    pub enhancer: Enhancer,
    /// Templates and rules that were used.
    pub used: Vec<String>,
    /// Remarks for the caller.
    pub notes: Vec<String>,
    /// Why it was not done by whom it should have been.
    pub fallback: Option<Fallback>,
    /// Length in tokens of the family. 0 without one.
    pub tokens: u32,
    /// Whether it was kept from an equal order.
    pub is_cached: bool,
    /// How long it took.
    pub elapsed: Duration,
}
