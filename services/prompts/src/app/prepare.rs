//! From what a person typed to what a model gets.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kinora_enhancement::language;
use kinora_moderation::Verdict;
use tokio::time::Instant;

use super::enhance::Written;
use super::moderate::texts_of;
use super::{App, Asker};
use crate::domain::order::{Enhancer, Order};
use crate::domain::prepared::Prepared;
use crate::error::Error;

/// Prompts of one call that are prepared at the same time.
const AT_A_TIME: usize = 8;

impl App {
    /// Moderates a prompt and rewrites it. Answers within the time that a prompt may take, or until `deadline` when that is
    /// earlier.
    ///
    /// # Errors
    /// [`Error::PromptEmpty`], [`Error::PromptTooLong`], [`Error::Field`], [`Error::PromptTags`],
    /// [`Error::ModerationUnavailable`], [`Error::ReviewLimit`], [`Error::Database`], [`Error::Broken`].
    pub async fn prepare(
        &self,
        asker: &Asker,
        order: Order,
        deadline: Option<Instant>,
    ) -> Result<Prepared, Error> {
        let begin = Instant::now();
        let last = begin + self.options.prompting.timeout;
        let deadline = deadline.map_or(last, |deadline| deadline.min(last));
        order.check()?;
        let mut prepared = self.kept_or_new(asker, &order, deadline).await?;
        prepared = self.reviewed(&asker.owner, &order, prepared).await?;
        prepared.elapsed = begin.elapsed();
        self.metrics.prepared(&prepared);
        Ok(prepared)
    }

    /// Prepares several prompts, all within the time that one may take.
    ///
    /// # Errors
    /// [`Error::OfBatch`] with the first error that comes up.
    pub async fn prepare_batch(
        &self,
        asker: &Asker,
        orders: Vec<Order>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Prepared>, Error> {
        let last = Instant::now() + self.options.prompting.timeout;
        let deadline = Some(deadline.map_or(last, |deadline| deadline.min(last)));
        let prepare = |(index, order)| async move {
            let prepared = self.prepare(asker, order, deadline).await;
            prepared.map_err(|source| Error::OfBatch {
                index,
                source: Box::new(source),
            })
        };
        let orders = stream::iter(orders.into_iter().enumerate()).map(prepare);
        orders.buffered(AT_A_TIME).try_collect().await
    }

    /// Rewrites a prompt that may be generated.
    ///
    /// # Errors
    /// As [`App::prepare`], and [`Error::PromptRefused`].
    pub async fn enhance(
        &self,
        asker: &Asker,
        order: Order,
        deadline: Option<Instant>,
    ) -> Result<Prepared, Error> {
        let prepared = self.prepare(asker, order, deadline).await?;
        if prepared.moderation.verdict == Verdict::Refuse {
            return Err(Error::PromptRefused(prepared.moderation.findings));
        }
        Ok(prepared)
    }

    async fn kept_or_new(
        &self,
        asker: &Asker,
        order: &Order,
        deadline: Instant,
    ) -> Result<Prepared, Error> {
        let key = order.cache_key(asker.audience);
        if let Some(mut kept) = self.cache.get(&key) {
            kept.is_cached = true;
            return Ok(kept);
        }
        let prepared = self.prepare_anew(asker, order, deadline).await?;
        self.cache.put(key, &prepared);
        Ok(prepared)
    }

    async fn prepare_anew(
        &self,
        asker: &Asker,
        order: &Order,
        deadline: Instant,
    ) -> Result<Prepared, Error> {
        let judged = self.moderator.judge(texts_of(order), asker, deadline);
        let judgement = judged.await?;
        self.metrics.judged(judgement.verdict);
        let verdict = judgement.verdict;
        let written = if verdict == Verdict::Refuse {
            Written::default()
        } else {
            self.written(order, asker, verdict, deadline).await?
        };
        Ok(Prepared {
            original: order.prompt.clone(),
            prompt: written.prompt,
            negative_prompt: written.negative_prompt,
            speech: written.speech,
            audio: written.audio,
            language: language_of(order),
            moderation: self.moderation_of(judgement, asker.audience),
            enhancer: written.enhancer.unwrap_or(Enhancer::None),
            used: written.used,
            notes: written.notes,
            fallback: written.fallback,
            tokens: written.tokens,
            is_cached: false,
            elapsed: Duration::ZERO,
        })
    }
}

/// As the caller says, or as it is detected when that is sure.
fn language_of(order: &Order) -> Option<String> {
    if !order.language.is_empty() {
        return Some(order.language.clone());
    }
    let detected = language::detect(&order.prompt);
    let sure = detected.language.filter(|_| detected.is_reliable);
    sure.map(|language| language.code().to_owned())
}
