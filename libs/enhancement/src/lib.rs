//! What a person types becomes what a model family was trained to read.
//!
//! [`Rules`] holds templates of every [`Family`] and adds to a [`Draft`] what it lacks: motion and camera for Wan,
//! photographic detail for Mochi, marked speech and a description of the sound for Ovi; for the small model it rewrites into
//! the sentences that it was trained on. What was written stays: quoted speech, names and numbers are never touched, and
//! except for the small model no word of the original is changed, moved or cut. The same draft gives the same
//! prompt, and enhancing twice adds nothing twice.
//!
//! [`llm`] is the half of the enhancement by a language model that can be decided without one: what it is told, with the
//! person's text as data, and whether what it answered may be used. [`judge`] is the measure of both.
//!
//! Nothing here reads a file, a clock or a socket; nothing panics, whatever the text.

mod characters;
mod clean;
mod cues;
mod draft;
pub mod judge;
pub mod language;
pub mod llm;
mod prepare;
mod rules;
mod speech;
pub mod tags;
mod tiny;
pub mod tokens;
mod words;

pub use draft::{
    Character, Draft, DraftError, Enhanced, Family, MAX_CHARACTERS, MAX_NAME_CHARS,
    MAX_PROMPT_BYTES, MAX_SHEET_CHARS, MAX_STYLE_CHARS, Mode, Tags,
};
pub use language::Language;
pub use rules::{Problem, Rules};
