//! A language model: network, tokenizer and template together.

mod answer;
mod load;

use std::time::Instant;

use tch::{Kind, Tensor};

use self::answer::Answer;
use super::cache::KvCache;
use super::chat::{ChatMessage, ChatTemplate};
use super::constraint::JsonFields;
use super::control::LlmControl;
use super::error::LlmError;
use super::network::Decoder;
use super::sampling::SamplingOptions;
use super::tokenizer::TextTokenizer;
use crate::guard::guarded;
use crate::request::{DeviceChoice, Precision};

/// Tokens of the messages that are read at a time: between two of them, time and cancellation are looked at.
const PREFILL_TOKENS: usize = 256;

/// How to load a language model.
#[derive(Clone, Debug)]
pub struct LlmOptions {
    /// The device.
    pub device: DeviceChoice,
    /// The compute type.
    pub precision: Precision,
    /// Threads for operators on the CPU, for the whole process; libtorch decides when absent.
    pub threads: Option<usize>,
    /// Most tokens of messages and answer together. The memory for them is taken at once.
    pub context_tokens: usize,
}

impl Default for LlmOptions {
    /// The CPU, 32-bit floats, a context of 2048 tokens.
    fn default() -> Self {
        Self {
            device: DeviceChoice::Cpu,
            precision: Precision::F32,
            threads: None,
            context_tokens: 2048,
        }
    }
}

/// What to answer, and how.
#[derive(Clone, Debug)]
pub struct LlmRequest {
    /// The chat so far.
    pub messages: Vec<ChatMessage>,
    /// How the answer is drawn.
    pub options: SamplingOptions,
    /// What the answer has to look like.
    pub constraint: Option<JsonFields>,
    /// When to stop at the latest.
    pub deadline: Instant,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it.
    End,
    /// A stop text.
    Stop,
    /// It is whole, as the constraint has it.
    Whole,
    /// It has as many tokens as it may, or the context is full.
    Length,
    /// The model repeats itself.
    Repetition,
    /// Time is up.
    Deadline,
    /// The caller does not want it any more.
    Cancelled,
}

/// An answer. Under a constraint its text is what the constraint asks for, however it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmOutcome {
    /// The text.
    pub text: String,
    /// Why it ended.
    pub finish: FinishReason,
    /// Tokens of the messages.
    pub prompt_tokens: usize,
    /// Tokens that were generated, one that ended the answer included.
    pub completion_tokens: usize,
    /// Time that it took; of an engine's answer, with the time that the request waited.
    pub seconds: f64,
}

/// A language model on one device, for one request at a time.
#[derive(Debug)]
pub struct LanguageModel {
    decoder: Decoder,
    tokenizer: TextTokenizer,
    template: ChatTemplate,
    cache: KvCache,
}

impl LanguageModel {
    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The network.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The template.
    #[must_use]
    pub fn template(&self) -> ChatTemplate {
        self.template
    }

    /// Answers a chat. The model is as before afterwards, whatever the result.
    ///
    /// # Errors
    /// Any [`LlmError`] but `Busy` and `Stopped`.
    pub fn generate(
        &mut self,
        request: &LlmRequest,
        control: &mut dyn LlmControl,
    ) -> Result<LlmOutcome, LlmError> {
        self.check_length(&request.messages)?;
        let prompt = self.template.tokens(&request.messages, &self.tokenizer)?;
        let (outcome, _) = self.continue_tokens(&prompt, request, control)?;
        Ok(outcome)
    }

    /// Continues tokens instead of a chat, of which the request's messages are left aside; gives the new tokens too.
    ///
    /// # Errors
    /// As [`LanguageModel::generate`].
    pub fn continue_tokens(
        &mut self,
        prompt: &[u32],
        request: &LlmRequest,
        control: &mut dyn LlmControl,
    ) -> Result<(LlmOutcome, Vec<u32>), LlmError> {
        let started = Instant::now();
        request.options.check()?;
        self.check_prompt(prompt)?;
        let answer = Answer::new(request, self.tokenizer.adds_space());
        let run = || -> Result<_, crate::GenerateError> { Ok(self.run(prompt, answer, control)) };
        let (answer, finish) = guarded(run)??;
        let completion_tokens = answer.tokens().len();
        let (text, tokens) = answer.into_parts();
        let outcome = LlmOutcome {
            text,
            finish,
            prompt_tokens: prompt.len(),
            completion_tokens,
            seconds: started.elapsed().as_secs_f64(),
        };
        Ok((outcome, tokens))
    }

    /// Refuses texts that cannot fit before they are split into tokens, which takes time.
    fn check_length(&self, messages: &[ChatMessage]) -> Result<(), LlmError> {
        let bytes: usize = messages.iter().map(|message| message.text.len()).sum();
        let tokens = bytes / self.tokenizer.longest_bytes().max(1);
        let limit = self.limit();
        if tokens > limit {
            return Err(LlmError::TooLong { tokens, limit });
        }
        Ok(())
    }

    /// Tokens that fit when one is left to be generated.
    fn limit(&self) -> usize {
        let capacity = usize::try_from(self.cache.capacity()).unwrap_or_default();
        capacity.saturating_sub(1)
    }

    fn check_prompt(&self, prompt: &[u32]) -> Result<(), LlmError> {
        if prompt.is_empty() {
            return Err(LlmError::invalid("messages", "they have no tokens"));
        }
        let limit = self.limit();
        if prompt.len() > limit {
            let tokens = prompt.len();
            return Err(LlmError::TooLong { tokens, limit });
        }
        let vocabulary = self.decoder.config().vocabulary;
        match prompt.iter().find(|&&id| i64::from(id) >= vocabulary) {
            Some(id) => Err(LlmError::invalid("messages", format!("unknown token {id}"))),
            None => Ok(()),
        }
    }

    /// Reads the prompt, then draws token after token.
    fn run(
        &mut self,
        prompt: &[u32],
        mut answer: Answer,
        control: &mut dyn LlmControl,
    ) -> Result<(Answer, FinishReason), LlmError> {
        self.cache.clear();
        let mut last = None;
        for chunk in prompt.chunks(PREFILL_TOKENS) {
            if let Some(finish) = answer.interruption(control) {
                return Ok((answer.end(control), finish));
            }
            let ids: Vec<i64> = chunk.iter().copied().map(i64::from).collect();
            last = Some(self.decoder.forward(&ids, &mut self.cache));
        }
        let mut hidden =
            last.ok_or_else(|| LlmError::invalid("messages", "they have no tokens"))?;
        loop {
            if let Some(finish) = answer.interruption(control) {
                return Ok((answer.end(control), finish));
            }
            let mut logits = self.last_logits(&hidden)?;
            let token = answer.draw(&mut logits, &self.tokenizer)?;
            let bytes = self.tokenizer.bytes(token);
            if let Some(finish) = answer.push(token, bytes, control) {
                return Ok((answer.end(control), finish));
            }
            if self.cache.length() >= self.cache.capacity() {
                return Ok((answer.end(control), FinishReason::Length));
            }
            hidden = self.decoder.forward(&[i64::from(token)], &mut self.cache);
        }
    }

    /// The logits after the last token, of the tokens that the tokenizer knows.
    fn last_logits(&self, hidden: &Tensor) -> Result<Vec<f32>, LlmError> {
        let last = hidden.narrow(0, -1, 1); // [1, width]
        let logits = self.decoder.logits(&last).view(-1).to_kind(Kind::Float);
        let logits = logits.to_device(tch::Device::Cpu);
        let mut values: Vec<f32> = Vec::try_from(&logits)?;
        values.truncate(self.tokenizer.len());
        Ok(values)
    }
}
