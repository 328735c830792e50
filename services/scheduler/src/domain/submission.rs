//! What a caller asks for, checked against a model and completed from its defaults.

use std::fmt;
use std::time::Duration;

use kinora_ids::{JobId, UploadId};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::job::{Priority, Time, VideoSpec};
use super::model::Model;
use super::prompting::{Character, Enhancer, Prompting, check_wishes};
use super::vocabulary;

mod numbers;
mod pictures;
mod schedule;
mod template;
mod variants;

pub use pictures::{SentImage, Stills, too_large};
pub use schedule::Schedule;
pub use template::{check_uploads, every_pair};
pub use variants::{preview_of, remixed_job};

use numbers::check_numbers;
use pictures::{check_image, probe};

/// The highest seed: the largest integer that JSON readers keep exactly.
pub const MAX_SEED: u64 = (1 << 53) - 1;

/// No prompt is longer, whatever a model says.
pub const MAX_PROMPT_CHARS: usize = 10_000;

const MAX_REQUEST_ID_CHARS: usize = 128;
const MAX_MODEL_ID_CHARS: usize = 128;

/// A request to generate, as it came. Unset fields take the model's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Submission {
    /// Chosen by the caller; not part of the fingerprint.
    #[serde(skip)]
    pub request_id: Option<String>,
    /// Unset for the default model.
    pub model: Option<String>,
    /// What the clip shows.
    pub prompt: String,
    /// What it must not show.
    pub negative_prompt: Option<String>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Frames.
    pub frames: Option<u32>,
    /// The length instead of `frames`, in seconds, above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Denoising steps.
    pub steps: Option<u32>,
    /// Classifier-free guidance scale.
    pub guidance: Option<f64>,
    /// Drawn when unset.
    pub seed: Option<u64>,
    /// The first frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<SentImage>,
    /// The last frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_image: Option<SentImage>,
    /// Where the first frame was put before. Once that is read it stands in `image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_upload: Option<UploadId>,
    /// Where the last frame was put before, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_image_upload: Option<UploadId>,
    /// Unset for the standard class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Not to be started before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// How long it may wait for its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<Duration>,
    /// Whether a small preview is made first.
    #[serde(skip_serializing_if = "is_false")]
    pub preview_first: bool,
    /// The job whose values stand in for unset fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remix_of: Option<JobId>,
    /// Who rewrites the prompt. Unset for nobody, and in a remix for whoever did it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhance: Option<Enhancer>,
    /// For who does: a style. Empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub style: String,
    /// For who does: whom the prompt is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub characters: Vec<Character>,
    /// Whether an equal body a moment ago is no reason to answer with its job; not part of the fingerprint.
    #[serde(skip)]
    pub allow_duplicate: bool,
}

/// What older fingerprints did not have is left out while it is not used.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde asks for"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// A field of a submission that is not legal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// UPPER_SNAKE.
    pub reason: &'static str,
    /// The field, as the contract names it.
    pub field: &'static str,
    /// A sentence for the caller.
    pub message: String,
    /// Every dynamic part of the message.
    pub metadata: Vec<(&'static str, String)>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Invalid {
    pub(in crate::domain) fn new(
        reason: &'static str,
        field: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            reason,
            field,
            message: message.into(),
            metadata: Vec::new(),
        }
    }

    pub(in crate::domain) fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }
}

impl Submission {
    /// Checks what needs no model, and tells what the pictures are. A remix is complete by then.
    ///
    /// # Errors
    /// [`Invalid`] for the request id, the length of texts, an empty prompt, or a picture that is none.
    pub fn check_form(&self) -> Result<Stills, Invalid> {
        check_request_id(self.request_id.as_deref())?;
        check_wishes(self.enhance, &self.style, &self.characters)?;
        if self.prompt.trim().is_empty() {
            let text = "say what the clip shows: the prompt is empty";
            return Err(Invalid::new("PROMPT_EMPTY", "prompt", text));
        }
        let negative = self.negative_prompt.as_deref().unwrap_or_default();
        for (field, text) in [
            ("prompt", self.prompt.as_str()),
            ("negative_prompt", negative),
        ] {
            check_length(field, text, MAX_PROMPT_CHARS)?;
            // PostgreSQL cannot keep it, and no text means anything by it.
            if text.contains('\0') {
                let message = "a text may not contain the NUL character";
                return Err(Invalid::new("PROMPT_INVALID", field, message));
            }
        }
        Ok(Stills {
            first: probe(self.image_field(), self.image.as_ref())?,
            last: probe(self.last_image_field(), self.last_image.as_ref())?,
        })
    }

    /// What is kept of a prompt that is to be rewritten. None when nobody is to.
    #[must_use]
    pub fn prompting(&self, spec: &VideoSpec) -> Option<Box<Prompting>> {
        let asked = self.enhance.filter(|asked| *asked != Enhancer::None)?;
        Some(Box::new(Prompting {
            original_prompt: spec.prompt.clone(),
            original_negative_prompt: spec.negative_prompt.clone(),
            asked,
            style: self.style.clone(),
            characters: self.characters.clone(),
            ..Prompting::default()
        }))
    }

    /// The field that the first frame came in.
    const fn image_field(&self) -> &'static str {
        match self.image_upload {
            Some(_) => "image_upload",
            None => "image",
        }
    }

    /// The field that the last frame came in.
    const fn last_image_field(&self) -> &'static str {
        match self.last_image_upload {
            Some(_) => "last_image_upload",
            None => "last_image",
        }
    }

    /// Identifies the body: equal submissions have equal fingerprints. SHA-256 in lower-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        // Field order is that of the struct, so that the text is canonical. A struct of plain values
        // always has a JSON form.
        let body = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(body))
    }

    /// Completes the submission with the model's defaults. `drawn_seed` is used when it names no seed.
    ///
    /// # Errors
    /// [`Invalid`] for the first field that the model cannot do, with the nearest legal values.
    pub fn resolve(
        &self,
        model: &Model,
        stills: Stills,
        drawn_seed: u64,
    ) -> Result<VideoSpec, Invalid> {
        check_image(self.image_field(), stills.first, model.image_input)?;
        let last_field = self.last_image_field();
        check_image(last_field, stills.last, model.last_image_input)?;
        let (limits, defaults) = (&model.limits, &model.defaults);
        let most = usize::try_from(limits.max_prompt_chars).unwrap_or(usize::MAX);
        check_length("prompt", &self.prompt, most)?;
        let negative = self
            .negative_prompt
            .as_ref()
            .unwrap_or(&defaults.negative_prompt);
        check_length(
            "negative_prompt",
            negative,
            most.max(defaults.negative_prompt.len()),
        )?;
        let (width, height) = self.size(model, stills);
        let spec = VideoSpec {
            model: model.id.clone(),
            prompt: self.prompt.clone(),
            negative_prompt: negative.clone(),
            width,
            height,
            frames: self.frames(model),
            steps: self.steps.unwrap_or(defaults.steps),
            guidance: self.guidance.unwrap_or(defaults.guidance),
            seed: self.seed.unwrap_or(drawn_seed & MAX_SEED),
            fps: defaults.fps,
            // Stored once the job has an id.
            image: None,
            last_image: None,
        };
        check_numbers(&spec, stills, limits)?;
        Ok(spec)
    }

    /// The frames asked for; of a length in seconds the nearest number that the model makes, or one that is too high for it.
    fn frames(&self, model: &Model) -> u32 {
        let defaults = &model.defaults;
        let of_length = |seconds| {
            model
                .limits
                .nearest_frames(seconds * f64::from(defaults.fps))
        };
        let asked = self.frames.or_else(|| self.seconds.map(of_length));
        asked.unwrap_or(defaults.frames)
    }

    /// The size asked for; when none was, that of the picture in the area of the model's default.
    fn size(&self, model: &Model, stills: Stills) -> (u32, u32) {
        let defaults = &model.defaults;
        match (self.width, self.height, stills.first.or(stills.last)) {
            (None, None, Some(still)) => {
                let area = u64::from(defaults.width) * u64::from(defaults.height);
                model.limits.size_for((still.width, still.height), area)
            }
            (width, height, _) => (
                width.unwrap_or(defaults.width),
                height.unwrap_or(defaults.height),
            ),
        }
    }
}

/// Checks a request id, before it is compared with others.
///
/// # Errors
/// [`Invalid`] with reason `REQUEST_ID_INVALID`.
pub fn check_request_id(id: Option<&str>) -> Result<(), Invalid> {
    let is_legal = |id: &str| {
        let is_visible = id.chars().all(|c| c.is_ascii_graphic());
        (1..=MAX_REQUEST_ID_CHARS).contains(&id.len()) && is_visible
    };
    if id.is_none_or(is_legal) {
        return Ok(());
    }
    let text = "a request id has 1 to 128 visible ASCII characters";
    Err(Invalid::new("REQUEST_ID_INVALID", "request_id", text))
}

/// Picks the model that a submission means.
///
/// # Errors
/// [`Invalid`] with reason `UNKNOWN_MODEL` and the known ones in `known`.
pub fn choose_model<'a>(
    asked: Option<&str>,
    default: Option<&str>,
    known: &'a [Model],
) -> Result<&'a Model, Invalid> {
    let named = asked.or(default);
    let found = match (named, known) {
        (Some(id), _) => known.iter().find(|model| model.id == id),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    found.ok_or_else(|| {
        let ids: Vec<&str> = known.iter().map(|model| model.id.as_str()).collect();
        let message = match named {
            Some(id) => {
                let shown: String = id.chars().take(MAX_MODEL_ID_CHARS).collect();
                format!("there is no model `{shown}`; known: {}", ids.join(", "))
            }
            None => format!("name one of these models: {}", ids.join(", ")),
        };
        Invalid::new("UNKNOWN_MODEL", "model", message).with("known", ids.join(","))
    })
}

/// Remarks on an accepted submission.
#[must_use]
pub fn notes(spec: &VideoSpec, model: &Model) -> Vec<String> {
    let unknown = vocabulary::unknown_words(&spec.prompt, &model.vocabulary);
    if unknown.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "words outside this model's world: {}",
        unknown.join(", ")
    )]
}

fn check_length(field: &'static str, text: &str, most: usize) -> Result<(), Invalid> {
    // Bytes bound characters from above, so that most texts are not counted.
    if text.len() <= most || text.chars().count() <= most {
        return Ok(());
    }
    let message = format!(
        "the {} may have at most {most} characters",
        field.replace('_', " ")
    );
    Err(Invalid::new("PROMPT_TOO_LONG", field, message).with("max", most))
}

#[cfg(test)]
mod tests;
