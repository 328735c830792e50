//! Who rewrites a prompt, and what is done when they cannot.

use std::sync::Arc;
use std::time::Duration;

use kinora_enhancement::{Draft, DraftError, Enhanced, Family, Language, llm};
use kinora_moderation::{Audience, Verdict};
use tokio::time::{Instant, timeout_at};

use super::moderate::is_stricter;
use super::{App, Asker};
use crate::clients::{Question, Writer, WriterError};
use crate::domain::finding::TextKind;
use crate::domain::order::{Enhancer, Order};
use crate::domain::prepared::Fallback;
use crate::error::Error;

/// What is left for judging what a language model has written, and for the rules when that was nothing.
const RESERVE: Duration = Duration::from_millis(500);

/// What somebody wrote for a model.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub prompt: String,
    pub negative_prompt: String,
    pub speech: Vec<String>,
    pub audio: Option<String>,
    /// None for nobody.
    pub enhancer: Option<Enhancer>,
    pub used: Vec<String>,
    pub notes: Vec<String>,
    pub fallback: Option<Fallback>,
    pub tokens: u32,
}

impl Written {
    /// The original.
    fn nothing(order: &Order, fallback: Option<Fallback>) -> Self {
        let mut notes = Vec::new();
        if !order.characters.is_empty() || !order.style.is_empty() {
            notes.push("characters and style are put into prompts by an enhancer only".to_owned());
        }
        Self {
            prompt: order.prompt.clone(),
            negative_prompt: order.negative_prompt.clone(),
            fallback,
            notes,
            ..Self::default()
        }
    }

    fn by(enhancer: Enhancer, enhanced: Enhanced, fallback: Option<Fallback>) -> Self {
        Self {
            prompt: enhanced.prompt,
            negative_prompt: enhanced.negative_prompt,
            speech: enhanced.tags.speech,
            audio: enhanced.tags.audio,
            enhancer: Some(enhancer),
            used: enhanced.used,
            notes: enhanced.notes,
            fallback,
            tokens: enhanced.tokens,
        }
    }
}

impl App {
    /// Rewrites a prompt of the given verdict as the order wants, or says why not. What is written is judged like what a
    /// person wrote, and may not be stricter.
    ///
    /// # Errors
    /// [`Error::PromptTags`], [`Error::ModerationUnavailable`].
    pub(super) async fn written(
        &self,
        order: &Order,
        asker: &Asker,
        verdict: Verdict,
        deadline: Instant,
    ) -> Result<Written, Error> {
        let enhancer = order.enhancer;
        if enhancer == Enhancer::None {
            return Ok(Written::nothing(order, None));
        }
        let Some(family) = order.family else {
            return Ok(Written::nothing(order, Some(Fallback::FamilyUnknown)));
        };
        let bounds = Bounds {
            asker,
            verdict,
            deadline,
        };
        let writer = match enhancer {
            Enhancer::Llm => self.writer.as_ref(),
            Enhancer::Auto => self.default_writer(),
            Enhancer::None | Enhancer::Rules => None,
        };
        let mut fallback = None;
        match writer {
            Some(writer) => match self.by_llm(writer, order, family, bounds).await? {
                Ok(enhanced) => return Ok(Written::by(Enhancer::Llm, enhanced, None)),
                Err(reason) => fallback = Some(reason),
            },
            None if enhancer == Enhancer::Llm => fallback = Some(Fallback::LlmNotConfigured),
            None => {}
        }
        match self.by_rules(order, family, bounds).await? {
            Ok(enhanced) => Ok(Written::by(Enhancer::Rules, enhanced, fallback)),
            Err(reason) => Ok(Written::nothing(order, Some(reason))),
        }
    }

    async fn by_rules(
        &self,
        order: &Order,
        family: Family,
        bounds: Bounds<'_>,
    ) -> Result<Result<Enhanced, Fallback>, Error> {
        let (rules, own) = (Arc::clone(&self.rules), order.clone());
        // A panic there ends this, and nothing else.
        let enhancing = tokio::task::spawn_blocking(move || rules.enhance(&draft(&own, family)));
        let enhanced = match timeout_at(bounds.deadline, enhancing).await {
            Ok(Ok(Ok(enhanced))) => enhanced,
            Ok(Ok(Err(error))) => return Err(unusable(error)),
            Ok(Err(error)) => {
                tracing::error!(%error, "the rules broke");
                return Ok(Err(Fallback::EnhancementFailed));
            }
            Err(_) => return Ok(Err(Fallback::EnhancementFailed)),
        };
        self.checked(enhanced, bounds).await
    }

    async fn by_llm(
        &self,
        writer: &Arc<dyn Writer>,
        order: &Order,
        family: Family,
        bounds: Bounds<'_>,
    ) -> Result<Result<Enhanced, Fallback>, Error> {
        let draft = draft(order, family);
        let messages = llm::messages(&draft, &self.rules).map_err(unusable)?;
        let question = Question {
            messages,
            fields: llm::fields(family),
            seed: seed(order, bounds.asker.audience),
            deadline: bounds
                .deadline
                .checked_sub(RESERVE)
                .unwrap_or(bounds.deadline),
        };
        let answer = match timeout_at(question.deadline, writer.write(question.clone())).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(WriterError::Busy)) => return Ok(Err(Fallback::LlmBusy)),
            Ok(Err(error @ WriterError::Unusable(_))) => {
                tracing::debug!(%error, "the language model's answer was rejected");
                return Ok(Err(Fallback::LlmAnswerRejected));
            }
            Ok(Err(WriterError::Timeout)) | Err(_) => return Ok(Err(Fallback::LlmTimeout)),
            Ok(Err(error @ WriterError::Failed(_))) => {
                tracing::warn!(%error, "a prompt was not rewritten by the language model");
                return Ok(Err(Fallback::LlmUnavailable));
            }
        };
        let accepted = llm::accept(&draft, &answer, &self.rules);
        match accepted {
            Ok(enhanced) => self.checked(enhanced, bounds).await,
            Err(rejected) => {
                tracing::debug!(reason = %rejected, "the language model's answer was rejected");
                Ok(Err(Fallback::LlmAnswerRejected))
            }
        }
    }

    /// Judges what was written.
    async fn checked(
        &self,
        enhanced: Enhanced,
        bounds: Bounds<'_>,
    ) -> Result<Result<Enhanced, Fallback>, Error> {
        let texts = vec![
            (TextKind::EnhancedPrompt, enhanced.prompt.clone()),
            (TextKind::NegativePrompt, enhanced.negative_prompt.clone()),
        ];
        let judged = self.moderator.judge(texts, bounds.asker, bounds.deadline);
        if is_stricter(judged.await?.verdict, bounds.verdict) {
            return Ok(Err(Fallback::EnhancedPromptRefused));
        }
        Ok(Ok(enhanced))
    }
}

/// What an enhancer has to keep to.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    asker: &'a Asker,
    /// Of the original.
    verdict: Verdict,
    deadline: Instant,
}

/// What no enhancer takes, a person has to change.
fn unusable(error: DraftError) -> Error {
    match error {
        DraftError::Empty => Error::PromptEmpty { field: "prompt" },
        DraftError::Tags(error) => Error::PromptTags(error.to_string()),
        error @ (DraftError::TooLong { .. } | DraftError::Nameless) => {
            Error::Broken(format!("an order that was checked is no draft: {error}"))
        }
    }
}

fn draft(order: &Order, family: Family) -> Draft<'_> {
    Draft {
        prompt: &order.prompt,
        negative_prompt: &order.negative_prompt,
        family,
        mode: order.mode,
        characters: &order.characters,
        style: Some(order.style.as_str()).filter(|style| !style.trim().is_empty()),
        language: Language::from_code(&order.language),
    }
}

/// The same order is written likewise.
fn seed(order: &Order, audience: Audience) -> u64 {
    let key = order.cache_key(audience);
    let (first, _) = key.split_at(8);
    first
        .iter()
        .fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}
