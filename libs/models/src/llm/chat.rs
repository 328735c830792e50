//! Chats as models were trained to read them.

use super::error::LlmError;
use super::tokenizer::{TextTokenizer, Tokens};

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whoever runs the model: what it should do.
    System,
    /// The person, or whatever it is asked about.
    User,
    /// The model.
    Assistant,
}

/// A message of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who wrote it.
    pub role: Role,
    /// What they wrote. It is text, whatever it spells.
    pub text: String,
}

impl ChatMessage {
    /// A message.
    #[must_use]
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { role, text }
    }
}

/// How a chat is written down. Only the marks of a template become control tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// `<|im_start|>role`, the text, `<|im_end|>`: SmolLM2 and many others.
    ChatMl,
    /// `[INST]` and `[/INST]` spelled as text: Mistral's first versions, and Llama 2.
    Mistral,
    /// `[INST]` and `[/INST]` as control tokens: Mistral from its third version on.
    MistralMarks,
    /// `<|start_header_id|>role<|end_header_id|>`, the text, `<|eot_id|>`: Llama 3.
    Llama3,
}

/// A part of a written chat.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Mark(&'static str),
    Text(String),
}

impl ChatTemplate {
    /// The template that a model's own one, in Jinja, is like; `tokenizer` tells what is a mark.
    #[must_use]
    pub fn choose(template: &str, tokenizer: &TextTokenizer) -> Option<Self> {
        let known = [
            ("<|im_start|>", Self::ChatMl),
            ("<|start_header_id|>", Self::Llama3),
            ("[INST]", Self::MistralMarks),
            ("[INST]", Self::Mistral),
        ];
        let fits = |mark: &str| tokenizer.control(mark).is_some();
        let found = known.into_iter().find(|(sign, chosen)| {
            template.contains(sign) && chosen.marks().iter().all(|mark| fits(mark))
        });
        found.map(|(_, chosen)| chosen)
    }

    fn marks(self) -> &'static [&'static str] {
        match self {
            Self::ChatMl => &["<|im_start|>", "<|im_end|>"],
            Self::Mistral => &["<s>", "</s>"],
            Self::MistralMarks => &["<s>", "</s>", "[INST]", "[/INST]"],
            Self::Llama3 => &[
                "<|begin_of_text|>",
                "<|start_header_id|>",
                "<|end_header_id|>",
                "<|eot_id|>",
            ],
        }
    }

    /// The tokens of a chat, up to where the model's answer begins.
    ///
    /// # Errors
    /// `Invalid` if the messages are no chat that ends with the user's turn.
    pub fn tokens(
        self,
        messages: &[ChatMessage],
        tokenizer: &TextTokenizer,
    ) -> Result<Tokens, LlmError> {
        check(messages)?;
        let mut tokens = Tokens::new();
        for part in self.parts(messages) {
            match part {
                Part::Text(text) => tokens.extend(tokenizer.encode(&text)?),
                Part::Mark(mark) => {
                    let id = tokenizer.control(mark);
                    let missing = || LlmError::Engine(format!("the vocabulary has no {mark}"));
                    tokens.push(id.ok_or_else(missing)?);
                }
            }
        }
        Ok(tokens)
    }

    fn parts(self, messages: &[ChatMessage]) -> Vec<Part> {
        match self {
            Self::ChatMl => chat_ml(messages),
            Self::Mistral => mistral(messages, false),
            Self::MistralMarks => mistral(messages, true),
            Self::Llama3 => llama_3(messages),
        }
    }
}

/// At most one message of the system's, first; then user and assistant in turns, the user first and last.
fn check(messages: &[ChatMessage]) -> Result<(), LlmError> {
    let (_, turns) = split_system(messages);
    let expected = [Role::User, Role::Assistant].into_iter().cycle();
    let alternate = turns
        .iter()
        .zip(expected)
        .all(|(turn, role)| turn.role == role);
    if alternate && turns.len() % 2 == 1 {
        return Ok(());
    }
    Err(LlmError::invalid(
        "messages",
        "after one message of the system's, user and assistant take turns, and the user has the last one",
    ))
}

fn split_system(messages: &[ChatMessage]) -> (Option<&ChatMessage>, &[ChatMessage]) {
    match messages.split_first() {
        Some((first, rest)) if first.role == Role::System => (Some(first), rest),
        _ => (None, messages),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn chat_ml(messages: &[ChatMessage]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            parts.push(Part::Text("\n".to_owned()));
        }
        let text = format!("{}\n{}", role_name(message.role), message.text);
        parts.extend([
            Part::Mark("<|im_start|>"),
            Part::Text(text),
            Part::Mark("<|im_end|>"),
        ]);
    }
    parts.extend([
        Part::Text("\n".to_owned()),
        Part::Mark("<|im_start|>"),
        Part::Text("assistant\n".to_owned()),
    ]);
    parts
}

/// What the system says stands before what the user says first.
fn mistral(messages: &[ChatMessage], has_marks: bool) -> Vec<Part> {
    let (system, turns) = split_system(messages);
    let mut system = system.map(|message| message.text.as_str());
    let mut parts = vec![Part::Mark("<s>")];
    for turn in turns {
        match turn.role {
            Role::Assistant => parts.extend([Part::Text(turn.text.clone()), Part::Mark("</s>")]),
            Role::System | Role::User if has_marks => {
                let text = with_system(system.take(), &turn.text);
                parts.extend([
                    Part::Mark("[INST]"),
                    Part::Text(text),
                    Part::Mark("[/INST]"),
                ]);
            }
            Role::System | Role::User => {
                let text = with_system(system.take(), &without_marks(&turn.text));
                parts.push(Part::Text(format!("[INST] {text} [/INST]")));
            }
        }
    }
    parts
}

fn with_system(system: Option<&str>, text: &str) -> String {
    match system {
        Some(system) => format!("{system}\n\n{text}"),
        None => text.to_owned(),
    }
}

/// Marks that are spelled as text could be typed: a space keeps them from being read as marks.
fn without_marks(text: &str) -> String {
    text.replace("[INST]", "[ INST]")
        .replace("[/INST]", "[ /INST]")
}

fn llama_3(messages: &[ChatMessage]) -> Vec<Part> {
    let header = |role| {
        [
            Part::Mark("<|start_header_id|>"),
            Part::Text(role_name(role).to_owned()),
            Part::Mark("<|end_header_id|>"),
        ]
    };
    let mut parts = vec![Part::Mark("<|begin_of_text|>")];
    for message in messages {
        parts.extend(header(message.role));
        parts.push(Part::Text(format!("\n\n{}", message.text.trim())));
        parts.push(Part::Mark("<|eot_id|>"));
    }
    parts.extend(header(Role::Assistant));
    parts.push(Part::Text("\n\n".to_owned()));
    parts
}

#[cfg(test)]
mod tests;
