//! Arguments about prompts: how they are rewritten, `kinora prompts` and `kinora reviews`.

use clap::{Args, Subcommand};

use super::ServerArguments;
use crate::client::Character;

const PROMPTS_HELP: &str = "\
Nothing is generated, stored or put into the queue of reviews.

Examples:
  kinora prompts prepare \"Red ball going to the right\" --for tiny --enhance
      what a model of that family would get
  kinora prompts prepare \"Ada opens a door\" --for wan --enhance=llm --character \"Ada=a tall woman in a grey coat\"
  kinora prompts moderate \"a knife on a kitchen table\"
      whether it may be generated, and which rule says so
  kinora prompts policy
      what is refused to you, what needs review, and in which languages that is known";

const REVIEWS_HELP: &str = "\
For operators. A prompt that needs review is refused with the id of its review. Its owner sends the same request again once
it is approved. Decisions hold for 30 days.

Examples:
  kinora reviews list                        those that wait, longest first
  kinora reviews list --status refused
  kinora reviews show 01890000-0000-7000-8000-000000000000
  kinora reviews approve 01890000-0000-7000-8000-000000000000 --note \"a history lesson\"
  kinora reviews refuse 01890000-0000-7000-8000-000000000000";

/// Whether and how prompts are rewritten for the model.
#[derive(Args, Clone, Debug, Default)]
pub struct EnhancementArguments {
    /// Have prompts rewritten for the model: `rules` by templates, `llm` by a language model, `auto` as the mesh is set up,
    /// `none` not at all. Both forms are shown and kept.
    #[arg(
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "auto",
        value_parser = ["auto", "rules", "llm", "none"],
        hide_possible_values = true
    )]
    pub enhance: Option<String>,
    /// With --enhance: a style, such as watercolour.
    #[arg(long, value_name = "TEXT")]
    pub style: Option<String>,
    /// With --enhance: how somebody or something looks that the prompt names. Repeat it for several.
    #[arg(long = "character", value_name = "NAME=SHEET", value_parser = parse_character)]
    pub characters: Vec<Character>,
}

/// Options of `kinora prompts`.
#[derive(Args, Clone, Debug)]
#[command(after_help = PROMPTS_HELP)]
pub struct PromptsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: PromptsCommand,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// What to do with prompts.
#[derive(Clone, Debug, Subcommand)]
pub enum PromptsCommand {
    /// Moderate a prompt, and rewrite it as for a clip.
    Prepare(Box<PrepareArguments>),
    /// Tell whether a text may be generated.
    Moderate(ModerateArguments),
    /// Tell what is not generated, and who can rewrite prompts.
    Policy,
}

/// Options of `kinora prompts prepare`.
#[derive(Args, Clone, Debug)]
pub struct PrepareArguments {
    /// What a clip would show.
    pub prompt: String,
    /// What it would not show.
    #[arg(long)]
    pub negative: Option<String>,
    /// For which kind of models: tiny, wan, mochi, ovi-720 or ovi-960, as `prompt_family` in `kinora models --json`.
    #[arg(long = "for", value_name = "FAMILY", value_parser = ["tiny", "wan", "mochi", "ovi-720", "ovi-960"], hide_possible_values = true)]
    pub family: Option<String>,
    /// What the clip begins with: text, image or first-and-last-image.
    #[arg(long, default_value = "text", value_parser = ["text", "image", "first-and-last-image"], hide_possible_values = true)]
    pub mode: String,
    /// Language of the prompt, such as en; detected when absent.
    #[arg(long)]
    pub language: Option<String>,
    /// How it is rewritten.
    #[command(flatten)]
    pub enhancement: EnhancementArguments,
}

/// Options of `kinora prompts moderate`.
#[derive(Args, Clone, Debug)]
pub struct ModerateArguments {
    /// The text.
    pub text: String,
}

/// Options of `kinora reviews`.
#[derive(Args, Clone, Debug)]
#[command(after_help = REVIEWS_HELP)]
pub struct ReviewsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ReviewsCommand,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// What to do with reviews.
#[derive(Clone, Debug, Subcommand)]
pub enum ReviewsCommand {
    /// List them, those that have waited longest first.
    List {
        /// Those that stand so: pending, approved or refused.
        #[arg(long, default_value = "pending", value_parser = ["pending", "approved", "refused"], hide_possible_values = true)]
        status: String,
        /// How many to list.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show one, with what was found.
    Show {
        /// Id of the review.
        id: String,
    },
    /// Let its owner generate it.
    Approve {
        /// Id of the review.
        id: String,
        /// Why, for other operators.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Refuse it to its owner.
    Refuse {
        /// Id of the review.
        id: String,
        /// Why, for other operators.
        #[arg(long, default_value = "")]
        note: String,
    },
}

/// A name and how it looks.
fn parse_character(text: &str) -> Result<Character, String> {
    let (name, sheet) = text
        .split_once('=')
        .map(|(name, sheet)| (name.trim(), sheet.trim()))
        .filter(|(name, sheet)| !name.is_empty() && !sheet.is_empty())
        .ok_or("expected a name and how it looks, such as Ada=\"a tall woman in a grey coat\"")?;
    Ok(Character {
        name: name.to_owned(),
        sheet: sheet.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_has_a_name_and_a_sheet() {
        let ada = parse_character(" Ada = tall, hair = grey ").unwrap();
        assert_eq!(
            (ada.name.as_str(), ada.sheet.as_str()),
            ("Ada", "tall, hair = grey")
        );
        for odd in ["", "Ada", "=tall", "Ada=", " = "] {
            assert!(parse_character(odd).is_err(), "{odd}");
        }
    }
}
