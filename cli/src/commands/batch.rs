//! `kinora batch`.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connect::any_mesh;
use super::generate::several;
use super::group::{Several, complete, follow};
use super::jobs;
use super::request::{frames, submission};
use crate::arguments::{
    BatchArguments, BatchCommand, BatchRunArguments, BatchWatchArguments, Folders, GroupArguments,
};
use crate::client::view::{Video, VideoGroup};
use crate::client::{BatchSubmission, GroupKind, Submission};
use crate::exit::Failure;
use crate::output;
use crate::progress::Display;

/// A hundred requests with pictures fit.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Runs `kinora batch`.
///
/// # Errors
///
/// [`Failure`].
pub async fn run(
    arguments: BatchArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    match arguments.command {
        BatchCommand::Run(arguments) => make(&arguments, folders, &shutdown).await,
        BatchCommand::Watch(arguments) => watch(&arguments, folders, &shutdown).await,
        BatchCommand::Show(arguments) => show(&arguments, folders).await,
        BatchCommand::Cancel(arguments) => cancel(&arguments, folders).await,
    }
}

async fn make(
    arguments: &BatchRunArguments,
    folders: &Folders,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let text = read(&arguments.file).map_err(|error| Failure::usage(format!("{error:#}")))?;
    let common = Submission {
        frames: frames(&arguments.output, arguments.settings.frames)?,
        ..submission(&arguments.settings)?
    };
    let batch = batch_of(&text, common)?;
    several(&batch, &arguments.output, &arguments.run, folders, shutdown).await
}

/// A JSON array is a list of requests, anything else a prompt a line.
fn batch_of(text: &str, common: Submission) -> Result<BatchSubmission, Failure> {
    if text.trim_start().starts_with('[') {
        if common != Submission::default() {
            return Err(Failure::usage(
                "requests say themselves what they are like; give no options",
            ));
        }
        let requests = serde_json::from_str(text);
        let requests =
            requests.map_err(|error| Failure::usage(format!("the requests: {error}")))?;
        return Ok(BatchSubmission::Listed { requests });
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let prompts: Vec<String> = lines.map(str::to_owned).collect();
    if prompts.is_empty() {
        return Err(Failure::usage("there is no prompt in the file"));
    }
    Ok(BatchSubmission::Varied {
        template: Box::new(common),
        prompts,
        seeds: Vec::new(),
    })
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let shown = path.display();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("{shown} cannot be opened"))?)
    };
    let mut limited = source.take(MAX_FILE_BYTES + 1);
    limited
        .read_to_string(&mut text)
        .with_context(|| format!("{shown} cannot be read"))?;
    anyhow::ensure!(text.len() as u64 <= MAX_FILE_BYTES, "{shown} is too large");
    Ok(text)
}

/// Follows what another command has begun. To interrupt it cancels nothing.
async fn watch(
    arguments: &BatchWatchArguments,
    folders: &Folders,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let GroupArguments { id, json, server } = &arguments.group;
    let api = any_mesh(server, folders).await?;
    let group = api.any_group(id).await?;
    let mut display = Display::new(arguments.quiet);
    let Some(group) = follow(&api, &group, shutdown, &mut display).await? else {
        let name = &group.object;
        return Err(Failure::interrupted(format!(
            "interrupted; {name} {id} goes on"
        )));
    };
    let Some(output) = &arguments.output else {
        print(&group, *json)?;
        return complete(&group);
    };
    let several = Several {
        api: &api,
        output,
        as_json: *json,
        shutdown,
    };
    several.save(&group, begun).await
}

async fn show(arguments: &GroupArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    print(&api.any_group(&arguments.id).await?, arguments.json)
}

async fn cancel(arguments: &GroupArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let group = api.any_group(&arguments.id).await?;
    let group = api.cancel_group(GroupKind::of(&group), &group.id).await?;
    print(&group, arguments.json)
}

fn print(group: &VideoGroup, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return Ok(output::json(group)?);
    }
    let counts: Vec<String> = group
        .counts
        .iter()
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    let (name, id) = (&group.object, &group.id);
    output::result(format!("{name} {id}: {}", counts.join(", ")))?;
    let videos: Vec<&Video> = group.videos.iter().collect();
    Ok(output::result(jobs::table(&videos))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_prompt_and_an_array_is_requests() {
        let json = |text| {
            let batch = batch_of(text, Submission::default()).ok()?;
            Some(serde_json::to_value(batch).unwrap())
        };
        let lines = serde_json::json!({ "template": {}, "prompts": ["a red star", "b"] });
        assert_eq!(json("\n a red star \r\n\nb"), Some(lines));
        let requests = serde_json::json!({ "requests": [{ "prompt": "a" }] });
        assert_eq!(json(" [{\"prompt\":\"a\"}]"), Some(requests));
        assert_eq!(json(" \n"), None);
        assert_eq!(json("[{"), None);
        let common = Submission {
            steps: Some(3),
            ..Default::default()
        };
        assert!(batch_of("[]", common).is_err());
    }
}
