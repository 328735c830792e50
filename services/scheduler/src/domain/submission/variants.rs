//! Submissions and clips made from others: remixes and previews.

use super::Submission;
use crate::domain::job::{Job, VideoSpec};
use crate::domain::model::Model;

impl Submission {
    /// A prompt that is not set becomes what the writer of an earlier one wrote, and not what was made of it. Who rewrites it,
    /// unless that is said, is who did it there, with what was wished then.
    #[must_use]
    pub fn with_words_of(&self, source: &Job) -> Self {
        let mut words = self.clone();
        if words.prompt.is_empty() {
            source.original_prompt().clone_into(&mut words.prompt);
        }
        let Some(prompting) = source
            .prompting
            .as_ref()
            .filter(|_| words.enhance.is_none())
        else {
            return words;
        };
        words.enhance = Some(prompting.asked);
        if words.style.is_empty() {
            words.style.clone_from(&prompting.style);
        }
        if words.characters.is_empty() {
            words.characters.clone_from(&prompting.characters);
        }
        words
    }
}

/// As [`remixed`], with the texts as they were written.
#[must_use]
pub fn remixed_job(submission: &Submission, source: &Job) -> Submission {
    let mut words = submission.with_words_of(source);
    if let Some(prompting) = &source.prompting {
        let negative = &prompting.original_negative_prompt;
        words
            .negative_prompt
            .get_or_insert_with(|| negative.clone());
    }
    remixed(&words, &source.spec)
}

/// Unset fields take the values of an earlier clip, except the seed and the pictures.
///
/// Sizes, frames, steps and guidance belong to a model: with another model only the texts are taken.
#[must_use]
fn remixed(submission: &Submission, source: &VideoSpec) -> Submission {
    let mut remix = submission.clone();
    if remix.prompt.is_empty() {
        remix.prompt.clone_from(&source.prompt);
    }
    remix
        .negative_prompt
        .get_or_insert_with(|| source.negative_prompt.clone());
    if source.model.is_empty() {
        // A joined clip was made by no model.
        return remix;
    }
    let model = remix.model.get_or_insert_with(|| source.model.clone());
    if *model != source.model {
        return remix;
    }
    // One side alone keeps its proportions by nobody's wish.
    if remix.width.is_none() && remix.height.is_none() {
        (remix.width, remix.height) = (Some(source.width), Some(source.height));
    }
    if remix.seconds.is_none() {
        remix.frames.get_or_insert(source.frames);
    }
    remix.steps.get_or_insert(source.steps);
    remix.guidance.get_or_insert(source.guidance);
    remix
}

/// The cheap version of a clip: about half as wide and high on the model's grid, a third of the steps, and the same
/// frames and seed. The picture moves much as the clip's will; nothing of it is used for that.
#[must_use]
pub fn preview_of(spec: &VideoSpec, model: &Model) -> VideoSpec {
    let half = |side: u32, legal: std::ops::RangeInclusive<u32>| {
        let multiple = model.limits.size_multiple.max(1);
        let nearest = (side / 2 + multiple / 2) / multiple * multiple;
        // A side that is as small as can be stays.
        nearest.clamp(*legal.start(), side.max(*legal.start()))
    };
    VideoSpec {
        width: half(spec.width, model.limits.widths()),
        height: half(spec.height, model.limits.heights()),
        steps: spec.steps.div_ceil(3).max(1),
        ..spec.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::prompting::{Character, Enhancer, Prompting};
    use crate::domain::submission::Stills;
    use crate::domain::submission::tests::{model, prompt};

    fn source() -> VideoSpec {
        let submission = Submission {
            width: Some(96),
            height: Some(32),
            frames: Some(5),
            steps: Some(9),
            guidance: Some(1.5),
            negative_prompt: Some("rain".to_owned()),
            seed: Some(77),
            ..prompt()
        };
        let spec = submission.resolve(&model(), Stills::default(), 1);
        spec.expect("legal")
    }

    #[test]
    fn remix_takes_all_but_the_seed() {
        let remix = remixed(&Submission::default(), &source());
        let spec = remix
            .resolve(&model(), Stills::default(), 5)
            .expect("legal");
        assert_eq!(
            spec,
            VideoSpec {
                seed: 5,
                ..source()
            }
        );
    }

    #[test]
    fn what_is_said_stands_in_a_remix() {
        let said = Submission {
            prompt: "a blue ball".to_owned(),
            negative_prompt: Some(String::new()),
            width: Some(64),
            ..Submission::default()
        };
        let remix = remixed(&said, &source());
        assert_eq!((remix.width, remix.height), (Some(64), None));
        assert_eq!(remix.prompt, "a blue ball");
        assert_eq!(remix.negative_prompt.as_deref(), Some(""));
        assert_eq!(remix.steps, Some(9));
    }

    #[test]
    fn a_length_in_seconds_stands_for_the_frames_of_the_source() {
        let said = Submission {
            seconds: Some(1.0),
            ..Submission::default()
        };
        let remix = remixed(&said, &source());
        assert_eq!((remix.seconds, remix.frames), (Some(1.0), None));
    }

    fn enhanced() -> Job {
        let now = crate::domain::job::Time::UNIX_EPOCH;
        let mut job = Job::queued(
            kinora_ids::JobId::generate(),
            "anna".to_owned(),
            source(),
            now,
        );
        job.prompting = Some(Box::new(Prompting {
            original_prompt: "Ball".to_owned(),
            original_negative_prompt: "rain".to_owned(),
            asked: Enhancer::Auto,
            style: "noir".to_owned(),
            characters: vec![Character::default()],
            enhancer: Enhancer::Rules,
            ..Prompting::default()
        }));
        job.spec.negative_prompt = "rain, blur".to_owned();
        job
    }

    #[test]
    fn remix_begins_with_what_was_written_and_is_rewritten_as_that_was() {
        let remix = remixed_job(&Submission::default(), &enhanced());
        assert_eq!(remix.prompt, "Ball");
        assert_eq!(remix.negative_prompt.as_deref(), Some("rain"));
        assert_eq!(remix.enhance, Some(Enhancer::Auto));
        assert_eq!((remix.style.as_str(), remix.characters.len()), ("noir", 1));
    }

    #[test]
    fn remix_is_rewritten_as_it_says() {
        let said = Submission {
            enhance: Some(Enhancer::None),
            ..Submission::default()
        };
        let remix = remixed_job(&said, &enhanced());
        assert_eq!(
            (remix.prompt.as_str(), remix.enhance),
            ("Ball", Some(Enhancer::None))
        );
        assert_eq!((remix.style.as_str(), remix.characters.len()), ("", 0));
        let said = Submission {
            prompt: "Star".to_owned(),
            style: "watercolour".to_owned(),
            ..Submission::default()
        };
        let remix = remixed_job(&said, &enhanced());
        assert_eq!(
            (remix.prompt.as_str(), remix.style.as_str()),
            ("Star", "watercolour")
        );
        assert_eq!(remix.enhance, Some(Enhancer::Auto));
    }

    #[test]
    fn remix_with_another_model_takes_the_texts_alone() {
        let other = Submission {
            model: Some("other".to_owned()),
            ..Submission::default()
        };
        let remix = remixed(&other, &source());
        assert_eq!(remix.prompt, source().prompt);
        assert_eq!((remix.width, remix.frames, remix.steps), (None, None, None));
    }

    fn check_preview(size: (u32, u32), steps: u32, expected: (u32, u32, u32)) {
        let spec = VideoSpec {
            width: size.0,
            height: size.1,
            steps,
            ..source()
        };
        let preview = preview_of(&spec, &model());
        assert_eq!(
            (preview.width, preview.height, preview.steps),
            expected,
            "{size:?}"
        );
        assert_eq!((preview.seed, preview.frames), (77, 5));
    }

    #[test]
    fn preview_is_half_as_large_on_the_models_grid_and_never_larger() {
        check_preview((96, 64), 30, (48, 32, 10));
        check_preview((80, 48), 20, (48, 32, 7));
        check_preview((32, 16), 1, (32, 16, 1));
    }
}
