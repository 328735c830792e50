//! Somebody else's moderation, in OpenAI's dialect.

use std::collections::BTreeMap;
use std::time::Duration;

use kinora_moderation::Category;
use serde::{Deserialize, Serialize};

use super::http::{HttpError, JsonEndpoint};
use crate::config::moderation::ModerationOptions;
use crate::error::Error;

/// What categories of the dialect are called here. Any other that is flagged counts as harassment, so that nothing that
/// somebody else would refuse passes unseen.
const CATEGORIES: [(&str, Category); 8] = [
    ("sexual/minors", Category::ChildSexual),
    ("sexual", Category::Sexual),
    ("violence/graphic", Category::GraphicViolence),
    ("violence", Category::GraphicViolence),
    ("hate", Category::Hate),
    ("harassment", Category::Harassment),
    ("self-harm", Category::SelfHarm),
    ("illicit", Category::DangerousGoods),
];

/// The server.
pub struct ModerationEndpoint {
    endpoint: JsonEndpoint,
    model: String,
    timeout: Duration,
}

/// What it says of a text: what is flagged, and how sure that is.
pub type Flags = Vec<(Category, f32)>;

impl ModerationEndpoint {
    /// As the options say; `base` is the URL before `/moderations`.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn new(base: &str, options: &ModerationOptions) -> Result<Self, Error> {
        let key = options.api_key.as_ref();
        Ok(Self {
            endpoint: JsonEndpoint::new("--moderation-endpoint", base, "moderations", key)?,
            model: options.endpoint_model.clone(),
            timeout: options.endpoint_timeout,
        })
    }

    /// Asks about texts.
    ///
    /// # Errors
    /// [`HttpError`], also when it does not say something of each text.
    pub async fn flags(&self, texts: &[String]) -> Result<Vec<Flags>, HttpError> {
        let question = Question {
            model: &self.model,
            input: texts,
        };
        let answer: Answer = self.endpoint.ask(&question, self.timeout).await?;
        if answer.results.len() != texts.len() {
            return Err(HttpError::Answer("is about other texts"));
        }
        Ok(answer.results.iter().map(flags_of).collect())
    }
}

fn flags_of(result: &ResultOf) -> Flags {
    let flagged = result
        .categories
        .iter()
        .filter(|(_, is_flagged)| **is_flagged == Some(true));
    let mut flags: Flags = flagged
        .map(|(name, _)| {
            let score = result
                .category_scores
                .get(name)
                .copied()
                .flatten()
                .unwrap_or(1.0);
            (category_of(name), score.clamp(0.0, 1.0))
        })
        .collect();
    if result.flagged && flags.is_empty() {
        flags.push((Category::Harassment, 1.0));
    }
    flags
}

fn category_of(name: &str) -> Category {
    let exact = CATEGORIES.iter().find(|(known, _)| *known == name);
    let group = name.split('/').next().unwrap_or(name);
    let known = exact.or_else(|| CATEGORIES.iter().find(|(known, _)| *known == group));
    known.map_or(Category::Harassment, |(_, category)| *category)
}

#[derive(Serialize)]
struct Question<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    model: &'a str,
    input: &'a [String],
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<ResultOf>,
}

#[derive(Deserialize)]
struct ResultOf {
    flagged: bool,
    #[serde(default)]
    categories: BTreeMap<String, Option<bool>>,
    #[serde(default)]
    category_scores: BTreeMap<String, Option<f32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &[(Category, f32)]) {
        let result: ResultOf = serde_json::from_str(json).unwrap();
        assert_eq!(flags_of(&result), expected, "{json}");
    }

    #[test]
    fn what_is_flagged_has_a_category_here_whatever_it_is_called() {
        check(
            r#"{"flagged": false, "categories": {"sexual": false}}"#,
            &[],
        );
        check(
            r#"{"flagged": true, "categories": {"sexual/minors": true}, "category_scores": {"sexual/minors": 0.75}}"#,
            &[(Category::ChildSexual, 0.75)],
        );
        check(
            r#"{"flagged": true, "categories": {"self-harm/intent": true, "sexual": false}}"#,
            &[(Category::SelfHarm, 1.0)],
        );
        check(
            r#"{"flagged": true, "categories": {"something/new": true}, "category_scores": {"something/new": 7}}"#,
            &[(Category::Harassment, 1.0)],
        );
        check(r#"{"flagged": true}"#, &[(Category::Harassment, 1.0)]);
    }
}
