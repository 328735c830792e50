//! An answer while it is generated.

use std::time::Instant;

use super::super::constraint::{Constraint, JsonFields};
use super::super::control::LlmControl;
use super::super::error::LlmError;
use super::super::sampling::TokenSampler;
use super::super::stop::{AnswerText, RepetitionGuard};
use super::super::tokenizer::TextTokenizer;
use super::{FinishReason, LlmRequest};

/// Text and tokens so far, and everything that decides how it goes on.
pub(super) struct Answer {
    text: AnswerText,
    tokens: Vec<u32>,
    max_tokens: usize,
    sampler: TokenSampler,
    repetition: RepetitionGuard,
    constraint: Option<JsonFields>,
    deadline: Instant,
    /// Whether the space in front of the first word is the tokenizer's and not the answer's.
    drops_space: bool,
}

impl Answer {
    pub(super) fn new(request: &LlmRequest, adds_space: bool) -> Self {
        let options = &request.options;
        // A stop text within an object of texts would leave half an object.
        let stops: &[String] = match request.constraint {
            Some(_) => &[],
            None => &options.stop,
        };
        Self {
            text: AnswerText::new(stops),
            tokens: Vec::new(),
            max_tokens: options.max_tokens,
            sampler: TokenSampler::new(options.clone()),
            repetition: RepetitionGuard::default(),
            constraint: request.constraint.clone(),
            deadline: request.deadline,
            drops_space: adds_space && request.constraint.is_none(),
        }
    }

    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(super) fn into_parts(self) -> (String, Vec<u32>) {
        (self.text.into_text(), self.tokens)
    }

    /// Why to end now, if the caller or the clock says so.
    pub(super) fn interruption(&self, control: &dyn LlmControl) -> Option<FinishReason> {
        if control.is_cancelled() {
            return Some(FinishReason::Cancelled);
        }
        (Instant::now() >= self.deadline).then_some(FinishReason::Deadline)
    }

    /// Draws the next token.
    pub(super) fn draw(
        &mut self,
        logits: &mut [f32],
        tokenizer: &TextTokenizer,
    ) -> Result<u32, LlmError> {
        let Some(constraint) = &self.constraint else {
            return self.sampler.draw(logits, |_| true);
        };
        let allows = |id| {
            let bytes = tokenizer.bytes(id);
            bytes.is_some_and(|bytes| constraint.accepts(bytes))
        };
        self.sampler.draw(logits, allows)
    }

    /// Adds a token, and says why the answer ends with it, if it does. A mark ends it, whichever it is: a model that
    /// begins another turn has ended its own.
    pub(super) fn push(
        &mut self,
        token: u32,
        bytes: Option<&[u8]>,
        control: &mut dyn LlmControl,
    ) -> Option<FinishReason> {
        self.tokens.push(token);
        let Some(bytes) = bytes else {
            return Some(FinishReason::End);
        };
        let bytes = match bytes.strip_prefix(b" ") {
            Some(rest) if self.drops_space && self.text.is_empty() => rest,
            _ => bytes,
        };
        self.drops_space = false;
        if self.text.push(bytes) {
            return Some(FinishReason::Stop);
        }
        let mut is_certain = true;
        if let Some(constraint) = &mut self.constraint {
            constraint.write(bytes);
            // An ending may take bytes back.
            is_certain = constraint.ending().dropped_bytes == 0;
        }
        if is_certain && let Some(piece) = self.text.next_piece() {
            control.piece(&piece);
        }
        if self.constraint.as_ref().is_some_and(Constraint::is_whole) {
            return Some(FinishReason::Whole);
        }
        if self.repetition.is_loop_after(token) {
            return Some(FinishReason::Repetition);
        }
        (self.tokens.len() >= self.max_tokens).then_some(FinishReason::Length)
    }

    /// Makes the text whole and hands out what is left of it.
    pub(super) fn end(mut self, control: &mut dyn LlmControl) -> Self {
        if let Some(constraint) = &self.constraint {
            let ending = constraint.ending();
            self.text.end_with(ending.dropped_bytes, &ending.text);
        }
        self.text.finish();
        if let Some(piece) = self.text.next_piece() {
            control.piece(&piece);
        }
        self
    }
}
