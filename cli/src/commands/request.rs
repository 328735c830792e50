//! From the command line to what is submitted.

use std::path::{Path, PathBuf};

use chrono::SecondsFormat;

use crate::arguments::SettingsArguments;
use crate::client::Submission;
use crate::exit::Failure;
use crate::picture;

/// What is asked for, without a prompt.
///
/// # Errors
///
/// [`Failure`] of usage when a picture cannot be read.
pub(super) fn submission(settings: &SettingsArguments) -> Result<Submission, Failure> {
    let read = |path: &Option<PathBuf>| {
        let encoded = path.as_deref().map(picture::read_encoded);
        encoded.transpose().map_err(Failure::usage)
    };
    let at = settings.at;
    let expire_after = settings
        .expire_after
        .map(|time| format!("{}s", time.as_secs()));
    Ok(Submission {
        model: settings.model.clone(),
        negative_prompt: settings.negative.clone(),
        width: settings.width,
        height: settings.height,
        frames: settings.frames,
        steps: settings.steps,
        guidance: settings.guidance,
        seed: settings.seed,
        image: read(&settings.image)?,
        last_image: read(&settings.last_image)?,
        priority: settings.priority.clone(),
        not_before: at.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)),
        expire_after,
        enhance: settings.enhancement.enhance.clone(),
        style: settings.enhancement.style.clone(),
        characters: settings.enhancement.characters.clone(),
        ..Submission::default()
    })
}

/// The number of frames for a file: a picture has one.
///
/// # Errors
///
/// [`Failure`] of usage when more are asked for.
pub(super) fn frames(output: &Path, asked: Option<u32>) -> Result<Option<u32>, Failure> {
    match (picture::format_of(output), asked) {
        (None, frames) => Ok(frames),
        (Some(_), None | Some(1)) => Ok(Some(1)),
        (Some(_), Some(frames)) => Err(Failure::usage(format!(
            "{} is a picture, which has 1 frame, not {frames}; name an .mp4",
            output.display()
        ))),
    }
}

/// A file's name with something put before its ending: `clip.mp4` and `preview` give `clip.preview.mp4`.
pub(super) fn with_infix(path: &Path, separator: char, infix: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map(|ending| ending.to_string_lossy());
    let ending = ending.map(|ending| format!(".{ending}"));
    path.with_file_name(format!(
        "{stem}{separator}{infix}{}",
        ending.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_ending() {
        let named = |path: &str, separator, infix| with_infix(Path::new(path), separator, infix);
        assert_eq!(
            named("a/clip.mp4", '.', "preview"),
            Path::new("a/clip.preview.mp4")
        );
        assert_eq!(named("clip.v2.mp4", '-', "3"), Path::new("clip.v2-3.mp4"));
        assert_eq!(named("clip", '-', "1"), Path::new("clip-1"));
    }

    #[test]
    fn what_is_not_said_is_not_sent() {
        let submission = submission(&SettingsArguments::default()).unwrap();
        assert_eq!(submission, Submission::default());
    }

    #[test]
    fn a_picture_has_one_frame() {
        let frames = |path: &str, asked| frames(Path::new(path), asked).ok();
        assert_eq!(frames("a.png", None), Some(Some(1)));
        assert_eq!(frames("a.png", Some(17)), None);
        assert_eq!(frames("a.mp4", Some(17)), Some(Some(17)));
    }
}
