//! Prompts of jobs that are about to be stored: moderated, and rewritten where that is wanted.
//!
//! They are looked at in one call a request, before anything is stored or set aside, and with no lock or transaction held:
//! however long it takes, others are not kept waiting. For the same reason the service is not left alone after a call that
//! came to nothing, as billing is: a prompt that takes too long must not have others refused.

use std::sync::Arc;
use std::time::Instant;

use kinora_mesh::error::{Kind, PublicError};

use super::App;
use super::prepare::{Desk, Prepared};
use crate::clients::call::{CallError, Token};
use crate::clients::prompts::Prompts;
use crate::domain::job::{self, Job, NeedRole};
use crate::domain::model::Model;
use crate::domain::prompting::{Answered, Enhancer, PromptMode, PromptOrder, Verdict};
use crate::domain::submission::notes;
use crate::error::Error;
use crate::metrics::{Called, Metrics};

/// Where the model would not take what the prompt was rewritten to.
const TOO_LONG: &str = "ENHANCEMENT_FAILED";

/// The prompts service, as the use cases see it.
pub(super) struct PromptDesk {
    prompts: Arc<dyn Prompts>,
    metrics: Metrics,
}

impl PromptDesk {
    pub(super) fn new(prompts: Arc<dyn Prompts>, metrics: Metrics) -> Self {
        Self { prompts, metrics }
    }

    async fn prepare(
        &self,
        caller: &Token,
        orders: &[PromptOrder],
    ) -> Result<Vec<Answered>, CallError> {
        let began = Instant::now();
        let answer = self.prompts.prepare(caller, orders).await;
        let how = match &answer {
            Ok(_) => Called::Answered,
            Err(CallError::Refused(_)) => Called::Refused,
            Err(CallError::Away(_)) => Called::Failed,
        };
        self.metrics.prompts_called(how, began.elapsed());
        answer
    }
}

/// Distinct prompts of a request: clips of one prompt with several seeds are looked at once.
#[derive(Default)]
struct Round {
    orders: Vec<PromptOrder>,
    /// Of each order the job that it came from first.
    firsts: Vec<usize>,
    /// Of each job its order. None for one that draws nothing.
    order_of: Vec<Option<usize>>,
}

impl App {
    /// Has the prompts of a request moderated, and rewritten where that is wanted: all of them, or none.
    ///
    /// # Errors
    /// [`Error::PromptRefused`], [`Error::PromptNeedsReview`], [`Error::Prompts`], [`Error::PromptsUnavailable`],
    /// [`Error::EnhancementNotSupported`].
    pub(super) async fn prepare_prompts(
        &self,
        desk: &Desk<'_>,
        prepared: &mut [Prepared],
        caller: &Token,
    ) -> Result<(), Error> {
        let Some(prompts) = &self.prompts else {
            let is_asked = prepared.iter().any(|one| one.job.prompting.is_some());
            return if is_asked {
                Err(Error::EnhancementNotSupported)
            } else {
                Ok(())
            };
        };
        let round = Round::of(prepared, desk);
        let answers = prompts.prepare(caller, &round.orders).await;
        let answers = answers.map_err(|error| for_caller(error, &round, prepared))?;
        check_verdicts(&answers, &round, prepared)?;
        for (one, order) in prepared.iter_mut().zip(&round.order_of) {
            let answered = order.and_then(|order| answers.get(order));
            let model = desk.model(&one.job.spec.model);
            if let (Some(answered), Some(model)) = (answered, model) {
                apply(&mut one.job, model, answered);
            }
        }
        show_in_joined(prepared);
        Ok(())
    }

    /// Whether somebody can rewrite prompts.
    pub(super) const fn can_enhance(&self) -> bool {
        self.prompts.is_some()
    }
}

impl Round {
    fn of(prepared: &[Prepared], desk: &Desk<'_>) -> Self {
        let mut round = Self::default();
        for (index, one) in prepared.iter().enumerate() {
            let model = desk.model(&one.job.spec.model);
            let order = model.map(|model| order_of(one, model));
            let place = order.map(|order| round.place(order, index));
            round.order_of.push(place);
        }
        round
    }

    fn place(&mut self, order: PromptOrder, index: usize) -> usize {
        let known = self.orders.iter().position(|known| *known == order);
        known.unwrap_or_else(|| {
            self.orders.push(order);
            self.firsts.push(index);
            self.orders.len() - 1
        })
    }

    /// Where the job of an order stands in its batch or sequence. None for a job of its own.
    fn index(&self, order: usize, prepared: &[Prepared]) -> Option<u32> {
        let job = &prepared.get(*self.firsts.get(order)?)?.job;
        job.group.map(|group| group.index)
    }
}

fn order_of(one: &Prepared, model: &Model) -> PromptOrder {
    let job = &one.job;
    let goes_on = job
        .needs
        .iter()
        .any(|need| need.role == NeedRole::LastFrame);
    let has_first = goes_on || job.spec.image.is_some() || one.stills.first.is_some();
    let has_last = job.spec.last_image.is_some() || one.stills.last.is_some();
    let wishes = job.prompting.clone().unwrap_or_default();
    // What a model means by nothing was written by whoever set it up.
    let negative_prompt = match &job.spec.negative_prompt {
        own if *own != model.defaults.negative_prompt => own.clone(),
        _ => String::new(),
    };
    PromptOrder {
        prompt: job.spec.prompt.clone(),
        negative_prompt,
        family: model.reads_prompts_as(),
        mode: match (has_first, has_last) {
            (true, true) => PromptMode::FirstAndLastImage,
            (true, false) => PromptMode::Image,
            (false, _) => PromptMode::Text,
        },
        characters: wishes.characters,
        style: wishes.style,
        enhancer: wishes.asked,
    }
}

/// The first that is refused, else the first that a person has to look at, stands for all.
fn check_verdicts(answers: &[Answered], round: &Round, prepared: &[Prepared]) -> Result<(), Error> {
    let mut needs_review = Ok(());
    for (order, answered) in answers.iter().enumerate() {
        let index = || round.index(order, prepared);
        match &answered.verdict {
            Verdict::Allow => {}
            Verdict::Refuse { finding } => {
                return Err(Error::PromptRefused {
                    finding: finding.clone().unwrap_or_default(),
                    index: index(),
                });
            }
            Verdict::Review { review, finding } if needs_review.is_ok() => {
                needs_review = Err(Error::PromptNeedsReview {
                    review: review.clone(),
                    category: finding.clone().unwrap_or_default().category,
                    index: index(),
                });
            }
            Verdict::Review { .. } => {}
        }
    }
    needs_review
}

/// Gives a job what its model is to get. Where nobody was to rewrite the prompt, it stays as it is.
fn apply(job: &mut Job, model: &Model, answered: &Answered) {
    // Who looks at the frames goes by it.
    job.terms.adult_audience = answered.is_adult;
    if let Some(prompting) = &mut job.prompting {
        prompting.language.clone_from(&answered.language);
        let reason = &mut prompting.fallback_reason;
        reason.clone_from(&answered.fallback_reason);
        if answered.enhancer != Enhancer::None && is_taken(&answered.prompt, model) {
            prompting.enhancer = answered.enhancer;
            job.spec.prompt.clone_from(&answered.prompt);
            let default = &model.defaults.negative_prompt;
            let is_default = !default.is_empty() && job.spec.negative_prompt == *default;
            let negative = &answered.negative_prompt;
            if !is_default && !negative.is_empty() && is_taken(negative, model) {
                job.spec.negative_prompt.clone_from(negative);
            }
        } else if answered.enhancer != Enhancer::None {
            *reason = Some(TOO_LONG.to_owned());
        }
        if let Some(preview) = &mut job.preview_spec {
            preview.prompt.clone_from(&job.spec.prompt);
            let negative = &job.spec.negative_prompt;
            preview.negative_prompt.clone_from(negative);
        }
        job.notes = notes(&job.spec, model);
    }
    job.notes.extend(answered.notes.iter().cloned());
}

fn is_taken(text: &str, model: &Model) -> bool {
    let most = usize::try_from(model.limits.max_prompt_chars).unwrap_or(usize::MAX);
    text.chars().count() <= most
}

/// The job that joins a sequence shows what its first segment does.
fn show_in_joined(prepared: &mut [Prepared]) {
    let [first, .., last] = prepared else {
        return;
    };
    if last.job.kind == job::Kind::Stitch {
        let (from, to) = (&first.job, &mut last.job);
        to.spec.prompt.clone_from(&from.spec.prompt);
        to.spec
            .negative_prompt
            .clone_from(&from.spec.negative_prompt);
        to.prompting.clone_from(&from.prompting);
    }
}

/// What a caller is told. What is between the services is no concern of theirs.
fn for_caller(error: CallError, round: &Round, prepared: &[Prepared]) -> Error {
    match error {
        CallError::Refused(refused) if concerns_caller(&refused) => {
            Error::Prompts(in_its_place(refused, round, prepared))
        }
        CallError::Refused(refused) => {
            tracing::error!(reason = refused.reason, "prompts does not take the call");
            Error::PromptsUnavailable
        }
        CallError::Away(away) => {
            tracing::warn!(reason = away.reason, "prompts is away");
            Error::PromptsUnavailable
        }
    }
}

/// As billing's: a token that was good a moment ago may have ended since.
fn concerns_caller(refused: &PublicError) -> bool {
    match refused.kind {
        Kind::InvalidArgument | Kind::FailedPrecondition | Kind::ResourceExhausted => true,
        Kind::Unauthenticated => ["TOKEN_EXPIRED", "TOKEN_REVOKED"].contains(&&*refused.reason),
        _ => false,
    }
}

/// An error about one of the orders, as one about the video that it came from.
fn in_its_place(mut refused: PublicError, round: &Round, prepared: &[Prepared]) -> PublicError {
    let told = refused.metadata.iter().find(|(key, _)| key == "index");
    let order = told.and_then(|(_, value)| value.parse().ok());
    refused.metadata.retain(|(key, _)| key != "index");
    for violation in &mut refused.violations {
        if let Some((_, field)) = violation.field.rsplit_once("].") {
            violation.field = field.to_owned();
        }
    }
    match round.index(order.unwrap_or(0), prepared) {
        Some(index) => refused.with_metadata("index", index.to_string()),
        None => refused,
    }
}
