//! Whether texts may be generated.

mod classifier;
mod places;

use std::path::Path;
use std::sync::Arc;

use kinora_moderation::{
    Assessment, Audience, Finding, Layer, Policy, TextClassifier, TextModerator, Verdict,
};
use tokio::time::{Instant, timeout_at};

use super::{App, Asker};
use crate::clients::moderation::{Flags, ModerationEndpoint};
use crate::config::moderation::ModerationOptions;
use crate::domain::finding::{Judgement, TextFinding, TextKind};
use crate::domain::order::{Order, check_text};
use crate::domain::prepared::Moderation;
use crate::error::Error;

use classifier::SentenceClassifier;
use places::{Place, Places};

/// Entries of a negative prompt that are looked at one by one; all further ones are looked at together.
const NEGATIVE_TERMS: usize = 64;

/// The word that an entry of a negative prompt means: who wants no clothes says so there.
const WITHOUT: &str = "without";

/// Says whether texts may be generated. Whatever fails on the way is an error: nothing passes that nobody has looked at.
pub struct Moderator {
    texts: Arc<Texts>,
    endpoint: Option<ModerationEndpoint>,
    places: Places,
}

/// What runs on a thread of its own.
struct Texts {
    all: TextModerator,
    /// Without the classifier: many short entries, one after the other.
    words: TextModerator,
}

impl Moderator {
    /// Reads what the options name.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn open(options: &ModerationOptions) -> Result<Self, Error> {
        let policy = policy(options)?;
        let classifier = options.model.as_deref().map(SentenceClassifier::open);
        let classifier = classifier.transpose()?;
        if classifier.is_none() {
            tracing::info!("no sentence model is configured; words and patterns moderate alone");
        }
        let classifier = classifier.map(|it| Arc::new(it) as Arc<dyn TextClassifier>);
        let endpoint = options.endpoint.as_deref();
        let endpoint = endpoint.map(|base| ModerationEndpoint::new(base, options));
        let moderator = |classifier| {
            let made = TextModerator::new(policy.clone(), classifier);
            made.map_err(|error| Error::Options(format!("--moderation-policy: {error}")))
        };
        Ok(Self {
            texts: Arc::new(Texts {
                words: moderator(None)?,
                all: moderator(classifier)?,
            }),
            endpoint: endpoint.transpose()?,
            places: Places::new(),
        })
    }

    /// The policy that is applied.
    pub fn policy(&self) -> &Policy {
        self.texts.all.policy()
    }

    /// Judges texts that belong together.
    ///
    /// # Errors
    /// [`Error::ModerationUnavailable`] when any part of it fails, or is not done by `deadline`.
    pub async fn judge(
        &self,
        texts: Vec<(TextKind, String)>,
        asker: &Asker,
        deadline: Instant,
    ) -> Result<Judgement, Error> {
        let late = |reason: &str| Error::ModerationUnavailable(reason.to_owned());
        let flags = timeout_at(deadline, self.flags(&texts));
        let flags = flags.await.map_err(|_| late("it took too long"))??;
        let place = timeout_at(deadline, self.places.take(asker.person));
        let busy = "all places, or all of this person's, were taken by other texts";
        let place = place.await.map_err(|_| late(busy))?;
        let judged = timeout_at(
            deadline,
            self.judge_all(texts, flags, place, asker.audience),
        );
        judged.await.map_err(|_| late("it took too long"))?
    }

    async fn judge_all(
        &self,
        texts: Vec<(TextKind, String)>,
        flags: Flags,
        place: Place,
        audience: Audience,
    ) -> Result<Judgement, Error> {
        let failed = |reason: String| Error::ModerationUnavailable(reason);
        let own = Arc::clone(&self.texts);
        // A panic there ends the call, and nothing else.
        let judged = tokio::task::spawn_blocking(move || {
            // Given back when the thread has ended, not when nobody waits for it any more.
            let _place = place;
            own.judge(&texts, audience)
        });
        let judged = judged.await;
        let mut findings = judged.map_err(|error| failed(error.to_string()))??;
        findings.extend(self.external(flags, audience));
        Ok(Judgement::of(findings))
    }

    /// What somebody else's moderation says.
    async fn flags(&self, texts: &[(TextKind, String)]) -> Result<Flags, Error> {
        let Some(endpoint) = &self.endpoint else {
            return Ok(Flags::new());
        };
        let positive = texts
            .iter()
            .filter(|(kind, _)| *kind != TextKind::NegativePrompt);
        let texts: Vec<String> = positive.map(|(_, text)| text.clone()).collect();
        let flags = endpoint.flags(&texts).await;
        let flags = flags.map_err(|error| {
            Error::ModerationUnavailable(format!("the moderation endpoint: {error}"))
        })?;
        Ok(flags.into_iter().flatten().collect())
    }

    fn external(&self, flags: Flags, audience: Audience) -> impl Iterator<Item = TextFinding> {
        flags.into_iter().map(move |(category, score)| TextFinding {
            text: TextKind::Prompt,
            finding: Finding {
                category,
                verdict: self.policy().verdict(category, audience),
                rule_id: format!("external.{}", category.id()),
                layer: Layer::External,
                score: Some(score),
                evidence: String::new(),
                span: None,
            },
        })
    }
}

impl Texts {
    fn judge(
        &self,
        texts: &[(TextKind, String)],
        audience: Audience,
    ) -> Result<Vec<TextFinding>, Error> {
        let mut findings = Vec::new();
        for (kind, text) in texts {
            if *kind == TextKind::NegativePrompt {
                findings.extend(self.judge_negative(text, audience)?);
            } else {
                let assessment = assess(&self.all, text, audience)?;
                findings.extend(of_kind(*kind, assessment.findings));
            }
        }
        Ok(findings)
    }

    /// What must not be seen may be named, as most negative prompts do. What is always refused may not, nor may what is a
    /// wish when it is left out.
    fn judge_negative(&self, text: &str, audience: Audience) -> Result<Vec<TextFinding>, Error> {
        let mut findings = Vec::new();
        for term in text.splitn(NEGATIVE_TERMS, [',', ';', '\n', '，', '、']) {
            let term = format!("{WITHOUT} {}", term.trim());
            let assessment = assess(&self.words, &term, audience)?;
            let wished = assessment.findings.into_iter().filter(|finding| {
                let is_of_absence = finding
                    .span
                    .as_ref()
                    .is_some_and(|span| span.start < WITHOUT.len());
                finding.category.is_always_refused() || is_of_absence
            });
            findings.extend(of_kind(TextKind::NegativePrompt, wished));
        }
        Ok(findings)
    }
}

fn assess(moderator: &TextModerator, text: &str, audience: Audience) -> Result<Assessment, Error> {
    let assessed = moderator.assess(text, audience);
    assessed.map_err(|error| Error::ModerationUnavailable(error.to_string()))
}

fn of_kind(
    text: TextKind,
    findings: impl IntoIterator<Item = Finding>,
) -> impl Iterator<Item = TextFinding> {
    findings
        .into_iter()
        .map(move |finding| TextFinding { text, finding })
}

/// All that a person wrote: each text, and what the model may read when they come together.
pub(super) fn texts_of(order: &Order) -> Vec<(TextKind, String)> {
    let mut texts = vec![(TextKind::Prompt, order.prompt.clone())];
    if !order.style.trim().is_empty() {
        texts.push((TextKind::Style, order.style.clone()));
    }
    for character in &order.characters {
        let text = format!("{}: {}", character.name, character.sheet);
        texts.push((TextKind::Character, text));
    }
    if texts.len() > 1 {
        let parts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
        texts.push((TextKind::Prompt, parts.join(", ")));
    }
    if !order.negative_prompt.trim().is_empty() {
        texts.push((TextKind::NegativePrompt, order.negative_prompt.clone()));
    }
    texts
}

fn policy(options: &ModerationOptions) -> Result<Policy, Error> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|error| wrong(path, &error.to_string()))
    };
    let (path, text) = match &options.policy {
        None => (Path::new("the built-in policy"), String::new()),
        Some(path) => (path.as_path(), read(path)?),
    };
    let policy = Policy::parse(&text).map_err(|error| wrong(path, &error.to_string()))?;
    if options.adult_content {
        return Ok(policy.with_adult_content());
    }
    Ok(policy)
}

fn wrong(path: &Path, problem: &str) -> Error {
    Error::Options(format!(
        "--moderation-policy: {}: {problem}",
        path.display()
    ))
}

impl App {
    /// Judges one text. Nothing of it is kept.
    ///
    /// # Errors
    /// [`Error::PromptEmpty`], [`Error::PromptTooLong`], [`Error::ModerationUnavailable`].
    pub async fn moderate(&self, text: String, asker: &Asker) -> Result<Moderation, Error> {
        check_text(&text, "text")?;
        if text.trim().is_empty() {
            return Err(Error::PromptEmpty { field: "text" });
        }
        let deadline = Instant::now() + self.options.prompting.timeout;
        let texts = vec![(TextKind::Prompt, text)];
        let judgement = self.moderator.judge(texts, asker, deadline).await?;
        self.metrics.judged(judgement.verdict);
        Ok(self.moderation_of(judgement, asker.audience))
    }

    pub(super) fn moderation_of(&self, judgement: Judgement, audience: Audience) -> Moderation {
        let policy = self.moderator.policy();
        Moderation {
            verdict: judgement.verdict,
            findings: judgement.findings,
            policy: policy.id().to_owned(),
            review: None,
            is_adult: audience == Audience::VerifiedAdult && policy.has_adult_content(),
        }
    }
}

/// Whether a text that is stricter than another may not stand for it.
pub(super) fn is_stricter(new: Verdict, old: Verdict) -> bool {
    new > old
}
