//! The rules enhancer: templates as data, and what is done with them.

mod add;
mod files;
mod negative;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

pub(crate) use files::{Addition, Template, TinyTemplate};

use crate::cues::Cues;
use crate::draft::{Draft, DraftError, Enhanced, Family, Tags};
use crate::language::Language;
use crate::prepare::Prepared;
use crate::tiny;
use crate::tokens::{Estimate, TokenCounter};

/// The templates of all families, and how their tokens are counted.
#[derive(Clone, Debug)]
pub struct Rules {
    cues: Cues,
    templates: BTreeMap<Family, Arc<Template>>,
    counters: BTreeMap<Family, Arc<dyn TokenCounter>>,
}

/// Something in a file of templates that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// Where in it; empty if the file cannot be read at all.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            field,
            message,
        } = self;
        match field.is_empty() {
            true => write!(formatter, "{file}: {message}"),
            false => write!(formatter, "{file}: {field}: {message}"),
        }
    }
}

static EMBEDDED: LazyLock<Rules> = LazyLock::new(|| match Rules::parse(&BTreeMap::new()) {
    Ok(rules) => rules,
    // A test reads the same files; without templates prompts pass as they are.
    Err(_) => Rules {
        cues: Cues::default(),
        templates: BTreeMap::new(),
        counters: BTreeMap::new(),
    },
});

impl Rules {
    /// The names of all files of templates.
    pub const FILES: [&str; 5] = [
        "cues.toml",
        "tiny.toml",
        "wan.toml",
        "mochi.toml",
        "ovi.toml",
    ];

    /// The templates that come with Kinora.
    #[must_use]
    pub fn embedded() -> Self {
        EMBEDDED.clone()
    }

    /// Reads templates: files by name, each in place of the one that comes with Kinora. A file that is not given stays as it
    /// comes.
    ///
    /// # Errors
    /// Everything that is wrong in any of the files.
    pub fn parse(files: &BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let (cues, templates) = files::parse(files)?;
        Ok(Self {
            cues,
            templates,
            counters: BTreeMap::new(),
        })
    }

    /// Counts a family's tokens with its own tokenizer instead of the estimate.
    #[must_use]
    pub fn with_counter(mut self, family: Family, counter: Arc<dyn TokenCounter>) -> Self {
        self.counters.insert(family, counter);
        self
    }

    /// Adds to a draft what it lacks.
    ///
    /// # Errors
    /// The draft is empty or too long, or its tags cannot be read.
    pub fn enhance(&self, draft: &Draft) -> Result<Enhanced, DraftError> {
        let mut prepared = Prepared::of(draft, self)?;
        let Some(template) = self.templates.get(&draft.family) else {
            return Ok(self.unchanged(draft, prepared));
        };
        if let Some(world) = &template.tiny {
            return Ok(tiny::enhance(self, draft, prepared, world));
        }
        let code = prepared.language.map(Language::code);
        if code.is_some_and(|code| template.unread.iter().any(|unread| unread == code)) {
            prepared.speaks = None;
            let note = "the model's text encoder does not know this script: a prompt in English follows better";
            prepared.notes.push(note.to_owned());
        }
        Ok(add::enhance(self, draft, prepared, template))
    }

    /// The draft as its family reads it, with nothing added.
    pub(crate) fn unchanged(&self, draft: &Draft, prepared: Prepared) -> Enhanced {
        let tags = prepared.tags();
        self.finish(draft, prepared.base.clone(), tags, prepared)
    }

    /// What goes out for a prompt that was made from a draft.
    pub(crate) fn finish(
        &self,
        draft: &Draft,
        prompt: String,
        tags: Tags,
        prepared: Prepared,
    ) -> Enhanced {
        let tokens = u32::try_from(self.count(draft.family, &prompt)).unwrap_or(u32::MAX);
        let negative = negative::of(self, draft, &prepared);
        let tags = match draft.family.has_sound() {
            true => tags,
            false => Tags::default(),
        };
        Enhanced {
            is_changed: prompt != draft.prompt,
            prompt,
            negative_prompt: negative,
            tags,
            used: prepared.used,
            notes: prepared.notes,
            tokens,
        }
    }

    /// Tokens of a text for a family, the end mark included.
    #[must_use]
    pub fn count(&self, family: Family, text: &str) -> usize {
        match self.counters.get(&family) {
            Some(counter) => counter.count(text),
            None if family == Family::Mochi => Estimate::T5.count(text),
            None => Estimate::Umt5.count(text),
        }
    }

    /// The most tokens that a family reads of a prompt, the end mark included.
    #[must_use]
    pub fn max_tokens(&self, family: Family) -> usize {
        let template = self.templates.get(&family);
        template.map_or(files::MAX_TOKENS, |template| template.max_tokens)
    }

    pub(crate) const fn cues(&self) -> &Cues {
        &self.cues
    }

    pub(crate) fn template(&self, family: Family) -> Option<&Template> {
        self.templates.get(&family).map(Arc::as_ref)
    }
}
