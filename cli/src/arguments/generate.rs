//! Arguments of what makes clips: `kinora generate`, `remix`, `batch`, `sequence`, `extend`, `approve`, `estimate`.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::{EngineArguments, EnhancementArguments, ServerArguments};

const GENERATE_HELP: &str = "\
Several prompts, or --seeds, make a batch: one request, one progress, and numbered files (clip-1.mp4, clip-2.mp4).

With --preview-first a small version comes first, as clip.preview.mp4. At a terminal you are asked whether to make the
clip; elsewhere the command ends there, and `kinora approve ID -o clip.mp4` goes on. A preview waits a day.

Examples:
  kinora generate \"a red star spins on a gray background\" -o star.mp4
  kinora generate \"a red star\" \"a blue star\" --seeds 4 -o stars.mp4
      makes eight clips, stars-1.mp4 to stars-8.mp4
  kinora generate --enhance \"Red ball going to the right\"
      shows what you wrote and what the model gets of it, then makes the clip
  kinora generate --enhance=rules --style noir --character \"Ada=a tall woman in a grey coat\" \"Ada opens a door\"
  kinora generate \"a red star\" --preview-first
  kinora generate \"a red star\" --at 2h --priority batch
      starts in two hours at the earliest, behind everybody else";

const REMIX_HELP: &str = "\
What is not said is taken from the video, except the seed, which is drawn. A prompt that was rewritten is taken as it was
written, and rewritten again as it was; --enhance=none leaves it as it is.

Examples:
  kinora remix 01890000-0000-7000-8000-000000000000 -o again.mp4
  kinora remix 01890000-0000-7000-8000-000000000000 \"the same in blue\" --steps 30";

const BATCH_HELP: &str = "\
Examples:
  kinora batch run prompts.txt -o clips/clip.mp4      a prompt a line; saves clips/clip-1.mp4 and so on
  kinora batch run requests.json                      a JSON array of requests, as POST /v1/videos takes them
  kinora batch watch 01890000-0000-7000-8000-000000000000 -o clip.mp4
      follows what was begun elsewhere, and saves it
  kinora batch show 01890000-0000-7000-8000-000000000000
  kinora batch cancel 01890000-0000-7000-8000-000000000000

`watch`, `show` and `cancel` take the id of a sequence as well. `kinora jobs --json` tells the `group_id` of each job.";

const SEQUENCE_HELP: &str = "\
Each segment goes on from the last frame of the one before; the result is one clip. The model must take pictures.

Examples:
  kinora sequence \"a ball rolls in\" \"the ball stops\" \"the ball rolls out\" -o ball.mp4
  kinora sequence \"waves at dusk\" --segments 4 -o waves.mp4";

const EXTEND_HELP: &str = "\
The video becomes the beginning of the result. Without a prompt its scene goes on.

Examples:
  kinora extend 01890000-0000-7000-8000-000000000000 -o longer.mp4
  kinora extend 01890000-0000-7000-8000-000000000000 \"it begins to rain\" --segments 2 -o rain.mp4";

const APPROVE_HELP: &str = "\
Examples:
  kinora approve 01890000-0000-7000-8000-000000000000
  kinora approve 01890000-0000-7000-8000-000000000000 -o clip.mp4      waits for the clip and saves it

`kinora cancel ID` declines.";

const ESTIMATE_HELP: &str = "\
Nothing is made and nothing is stored.

Example:
  kinora estimate \"a red star\" --frames 33 --steps 30";

/// What a clip is to be like, and when it is made. What is not said is up to the mesh.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingsArguments {
    /// Model to use; the mesh decides when absent.
    #[arg(long)]
    pub model: Option<String>,
    /// What the clip must not show.
    #[arg(long)]
    pub negative: Option<String>,
    /// Width in pixels.
    #[arg(long, allow_negative_numbers = true)]
    pub width: Option<u32>,
    /// Height in pixels.
    #[arg(long, allow_negative_numbers = true)]
    pub height: Option<u32>,
    /// Number of frames.
    #[arg(long, allow_negative_numbers = true)]
    pub frames: Option<u32>,
    /// Denoising steps: more take longer and look better, up to a point.
    #[arg(long, allow_negative_numbers = true)]
    pub steps: Option<u32>,
    /// How closely to follow the prompt; 1 or less means not at all.
    #[arg(long, allow_negative_numbers = true)]
    pub guidance: Option<f64>,
    /// The same seed gives the same clip; drawn when absent.
    #[arg(long, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Picture that becomes the first frame: PNG, JPEG or WebP. It also decides the proportions, unless a size is given.
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Picture that becomes the last frame.
    #[arg(long, value_name = "FILE")]
    pub last_image: Option<PathBuf>,
    /// Who goes first [default: standard].
    #[arg(long, value_parser = ["interactive", "standard", "batch"])]
    pub priority: Option<String>,
    /// Start no earlier: a time such as 2027-01-31T18:00:00Z, or how long from now, such as 2h.
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    pub at: Option<DateTime<Utc>>,
    /// Give up unless it has started by then, for example 30m; counted from --at.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub expire_after: Option<Duration>,
    /// How prompts are rewritten.
    #[command(flatten)]
    pub enhancement: EnhancementArguments,
}

/// How a command that makes clips runs.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
    /// How to run one, when none runs.
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// What one clip leaves on this machine.
#[derive(Args, Clone, Debug)]
pub struct ClipArguments {
    /// Where to save the clip; a file that is there is replaced. A name that ends in .png, .webp or .jpg makes a
    /// picture instead, of one frame.
    #[arg(short, long, default_value = "clip.mp4")]
    pub output: PathBuf,
    /// Where to save what the clip begins to look like, as a WebP; replaced whenever there is something new.
    #[arg(long, value_name = "FILE")]
    pub preview: Option<PathBuf>,
    /// Where to save the manifest, the list of what is needed to repeat the clip with `kinora reproduce`.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Make a small preview first, and the clip once it is approved.
    #[arg(long)]
    pub preview_first: bool,
    /// Approve the preview without being asked.
    #[arg(long, requires = "preview_first")]
    pub approve: bool,
}

/// Options of `kinora generate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = GENERATE_HELP)]
pub struct GenerateArguments {
    /// What the clip shows. Several make a clip each.
    #[arg(value_name = "PROMPT", required = true)]
    pub prompts: Vec<String>,
    /// Make a clip with each of so many seeds: --seed and those after it, or ones that are drawn.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: Option<u64>,
    /// What the clip leaves.
    #[command(flatten)]
    pub clip: ClipArguments,
    /// What it is like.
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// How the command runs.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Options of `kinora remix`.
#[derive(Args, Clone, Debug)]
#[command(after_help = REMIX_HELP)]
pub struct RemixArguments {
    /// Id of the video, as `kinora jobs` shows it.
    pub id: String,
    /// What the clip shows, when that is something else.
    pub prompt: Option<String>,
    /// What the clip leaves.
    #[command(flatten)]
    pub clip: ClipArguments,
    /// What differs.
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// How the command runs.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Options of `kinora batch`.
#[derive(Args, Clone, Debug)]
#[command(after_help = BATCH_HELP)]
pub struct BatchArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: BatchCommand,
}

/// What to do with batches.
#[derive(Clone, Debug, Subcommand)]
pub enum BatchCommand {
    /// Make the clips of a file, and save them.
    Run(Box<BatchRunArguments>),
    /// Follow a batch or a sequence to its end.
    Watch(BatchWatchArguments),
    /// Show a batch or a sequence.
    Show(GroupArguments),
    /// Cancel what has not ended of a batch or a sequence.
    Cancel(GroupArguments),
}

/// Options of `kinora batch run`.
#[derive(Args, Clone, Debug)]
pub struct BatchRunArguments {
    /// A prompt a line, or a JSON array of requests; `-` reads the input.
    pub file: PathBuf,
    /// Where to save the clips; a number is put before the ending.
    #[arg(short, long, default_value = "clip.mp4")]
    pub output: PathBuf,
    /// What the clips of prompts are like; requests say it themselves.
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// How the command runs.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Options of `kinora batch watch`.
#[derive(Args, Clone, Debug)]
pub struct BatchWatchArguments {
    /// Which group.
    #[command(flatten)]
    pub group: GroupArguments,
    /// Save what was made: a clip each of a batch, numbered, or the clip of a sequence.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
}

/// Options of `kinora batch show` and `cancel`.
#[derive(Args, Clone, Debug)]
pub struct GroupArguments {
    /// Id of the batch or the sequence.
    pub id: String,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Options of `kinora sequence`.
#[derive(Args, Clone, Debug)]
#[command(after_help = SEQUENCE_HELP)]
pub struct SequenceArguments {
    /// What each segment shows.
    #[arg(value_name = "PROMPT", required = true, num_args = 1..=16)]
    pub prompts: Vec<String>,
    /// How many segments a single prompt has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub segments: Option<u32>,
    /// Where to save the clip; a file that is there is replaced.
    #[arg(short, long, default_value = "clip.mp4")]
    pub output: PathBuf,
    /// What the segments are like.
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// How the command runs.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Options of `kinora extend`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXTEND_HELP)]
pub struct ExtendArguments {
    /// Id of a completed video, as `kinora jobs` shows it.
    pub id: String,
    /// What each further segment shows.
    #[arg(value_name = "PROMPT", num_args = 0..=16)]
    pub prompts: Vec<String>,
    /// How many segments follow, with one prompt or none [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub segments: Option<u32>,
    /// Where to save the clip; a file that is there is replaced.
    #[arg(short, long, default_value = "clip.mp4")]
    pub output: PathBuf,
    /// What the segments are like.
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// How the command runs.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Options of `kinora approve`.
#[derive(Args, Clone, Debug)]
#[command(after_help = APPROVE_HELP)]
pub struct ApproveArguments {
    /// Id of the job whose preview is good, as `kinora jobs` shows it.
    pub id: String,
    /// Wait for the clip and save it here.
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// How the command runs.
    #[command(flatten)]
    pub run: RunArguments,
}

/// Options of `kinora estimate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = ESTIMATE_HELP)]
pub struct EstimateArguments {
    /// What the clip would show.
    pub prompt: String,
    /// What it would be like.
    #[command(flatten)]
    pub settings: SettingsArguments,
    /// Print the estimate as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// A time, or how long from now.
fn parse_when(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let duration = humantime::parse_duration(text).ok();
    let duration = duration.and_then(|duration| chrono::Duration::from_std(duration).ok());
    let time = duration.and_then(|duration| Utc::now().checked_add_signed(duration));
    time.ok_or_else(|| "expected a time such as 2027-01-31T18:00:00Z, or 30m, 2h, 1d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_time_or_a_while_from_now() {
        let time = parse_when("2027-01-31T19:00:00+01:00").unwrap();
        assert_eq!(time.to_rfc3339(), "2027-01-31T18:00:00+00:00");
        let (before, time) = (Utc::now(), parse_when("2h").unwrap());
        assert!(time - before >= chrono::Duration::hours(2));
        for odd in ["", "soon", "-1h", "2027-01-31", "999999999999y"] {
            assert!(parse_when(odd).is_err(), "{odd}");
        }
    }
}
