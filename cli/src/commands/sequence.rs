//! `kinora sequence` and `kinora extend`.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::group::Several;
use super::request::submission;
use super::session::with_mesh;
use crate::arguments::{
    ExtendArguments, Folders, RunArguments, SequenceArguments, SettingsArguments,
};
use crate::client::{SequenceSubmission, Submission};
use crate::exit::Failure;
use crate::picture;

/// Generates a longer clip from segments.
///
/// # Errors
///
/// [`Failure`].
pub async fn run(
    arguments: SequenceArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let request = Request {
        source: None,
        sequence: sequence(&arguments.settings, arguments.prompts, arguments.segments)?,
        output: &arguments.output,
    };
    request.make(&arguments.run, folders, &shutdown).await
}

/// Makes a clip longer.
///
/// # Errors
///
/// [`Failure`].
pub async fn extend(
    arguments: ExtendArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let request = Request {
        source: Some(arguments.id),
        sequence: sequence(&arguments.settings, arguments.prompts, arguments.segments)?,
        output: &arguments.output,
    };
    request.make(&arguments.run, folders, &shutdown).await
}

struct Request<'a> {
    source: Option<String>,
    sequence: SequenceSubmission,
    output: &'a Path,
}

impl Request<'_> {
    async fn make(
        &self,
        run: &RunArguments,
        folders: &Folders,
        shutdown: &CancellationToken,
    ) -> Result<(), Failure> {
        if picture::format_of(self.output).is_some() {
            let output = self.output.display();
            return Err(Failure::usage(format!(
                "{output} is a picture; name an .mp4"
            )));
        }
        with_mesh(run, folders, shutdown, async |api, display| {
            let several = Several {
                api,
                output: self.output,
                as_json: run.json,
                shutdown,
            };
            let source = self.source.as_deref();
            let call = async |key: &str| api.submit_sequence(source, &self.sequence, key).await;
            several.make(call, display).await
        })
        .await
    }
}

/// A prompt each, or a number of segments with at most one prompt.
fn sequence(
    settings: &SettingsArguments,
    mut prompts: Vec<String>,
    segments: Option<u32>,
) -> Result<SequenceSubmission, Failure> {
    let mut segment = submission(settings)?;
    match (prompts.len(), segments) {
        (_, None) => {}
        (0, Some(_)) => {}
        (1, Some(_)) => segment.prompt = prompts.remove(0),
        (count, Some(_)) => {
            return Err(Failure::usage(format!(
                "{count} prompts make {count} segments; --segments is for a single prompt"
            )));
        }
    }
    Ok(SequenceSubmission {
        segment: Submission { ..segment },
        prompts,
        segments,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn segments_have_prompts_of_their_own_or_a_number() {
        let made = |prompts: &[&str], segments| {
            let prompts = prompts.iter().map(|prompt| (*prompt).to_owned()).collect();
            let sequence = sequence(&SettingsArguments::default(), prompts, segments).ok()?;
            Some(serde_json::to_value(sequence).unwrap())
        };
        assert_eq!(
            made(&["a", "b"], None),
            Some(json!({ "segment": {}, "prompts": ["a", "b"] }))
        );
        assert_eq!(
            made(&["a"], Some(3)),
            Some(json!({ "segment": { "prompt": "a" }, "segments": 3 }))
        );
        assert_eq!(
            made(&[], Some(2)),
            Some(json!({ "segment": {}, "segments": 2 }))
        );
        assert_eq!(made(&[], None), Some(json!({ "segment": {} })));
        assert_eq!(made(&["a", "b"], Some(2)), None);
    }
}
