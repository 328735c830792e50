//! The sentence model and its last layer as one classifier of texts.

use std::path::Path;

use kinora_enhancement::{Language, language};
use kinora_models::embedding::{
    SentenceEncoder, SentenceOptions, fastest_precision, weights_digest,
};
use kinora_moderation::head::Head;
use kinora_moderation::{Category, ClassifierError, TextClassifier, Thresholds};
use parking_lot::Mutex;

use crate::error::Error;

/// Parts of a text that are looked at: more than a prompt of the longest has in words of one letter would be too slow, and a
/// text with more is not judged at all.
const MAX_WINDOWS: usize = 64;

/// No score is as high.
const NEVER: f32 = 2.0;

/// One model, which one thread uses at a time.
pub struct SentenceClassifier {
    encoder: Mutex<SentenceEncoder>,
    head: Head,
}

impl SentenceClassifier {
    /// Loads the model of a folder, on the CPU.
    ///
    /// # Errors
    /// [`Error::Options`] when it cannot be read, or is another than the last layer was trained for.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let wrong = |problem: String| {
            Error::Options(format!(
                "--moderation-model: {}: {problem}",
                folder.display()
            ))
        };
        let head = Head::embedded().map_err(|error| wrong(error.to_string()))?;
        check_digest(folder, &head).map_err(&wrong)?;
        let encoder = SentenceEncoder::load(
            folder,
            &SentenceOptions {
                precision: fastest_precision(),
                ..Default::default()
            },
        );
        let encoder = encoder.map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            encoder: Mutex::new(encoder),
            head,
        })
    }
}

impl TextClassifier for SentenceClassifier {
    /// The highest score of each category over all parts of the text.
    fn scores(&self, text: &str) -> Result<Vec<(Category, f32)>, ClassifierError> {
        let failed = |error: String| ClassifierError(error);
        let embedded = self.encoder.lock().encode_windows(text, MAX_WINDOWS);
        let embedded = embedded.map_err(|error| failed(error.to_string()))?;
        if embedded.is_cut {
            return Err(failed("the text is longer than is looked at".to_owned()));
        }
        let mut highest: Vec<(Category, f32)> = Vec::new();
        for window in &embedded.windows {
            let scores = self.head.scores(window);
            for (category, score) in scores.map_err(|error| failed(error.to_string()))? {
                match highest.iter_mut().find(|(known, _)| *known == category) {
                    Some((_, known)) => *known = known.max(score),
                    None => highest.push((category, score)),
                }
            }
        }
        if !may_be_english(text) {
            highest.retain(|(category, score)| self.is_sure(*category, *score));
        }
        Ok(highest)
    }

    /// What is never refused for its meaning alone is looked at by a person: the model knows one language well, and takes a
    /// recipe for something else now and then.
    fn thresholds(&self, category: Category) -> Option<Thresholds> {
        let own = self.head.thresholds(category)?;
        if category.is_always_refused() {
            return Some(own);
        }
        Some(Thresholds {
            refuse: NEVER,
            ..own
        })
    }
}

impl SentenceClassifier {
    fn is_sure(&self, category: Category, score: f32) -> bool {
        let thresholds = self.head.thresholds(category);
        thresholds.is_some_and(|thresholds| score >= thresholds.refuse)
    }
}

/// The model was trained on English. Of other languages it makes too much to have people look at all that it doubts.
fn may_be_english(text: &str) -> bool {
    let detected = language::detect(text);
    !detected.is_reliable || detected.language == Some(Language::ENGLISH)
}

/// The last layer means nothing on the vectors of another model.
fn check_digest(folder: &Path, head: &Head) -> Result<(), String> {
    let digest = weights_digest(folder).map_err(|error| error.to_string())?;
    let wanted = head.model();
    if digest != wanted.sha256 {
        return Err(format!(
            "is another model than {}, for which the classifier was trained",
            wanted.name
        ));
    }
    Ok(())
}
