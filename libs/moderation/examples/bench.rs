//! Prints, as markdown, how long an assessment takes without a classifier. Of use as a release build.

#[path = "../eval/harness.rs"]
#[expect(dead_code, reason = "the lines and the moderator alone are wanted")]
mod harness;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::{lines, moderator};
use kinora_moderation::{Audience, MAX_TEXT_BYTES, TextModerator};

/// How often each text is assessed.
const ROUNDS: usize = 20;

fn main() -> Result<()> {
    let started = Instant::now();
    let moderator = moderator()?;
    let loading = started.elapsed();
    let mut texts: Vec<String> = Vec::new();
    for set in ["dev", "heldout"] {
        texts.extend(lines(set)?.into_iter().map(|line| line.text));
    }
    let long = texts.join(". ");
    let prompts: Vec<String> = texts.chunks(8).map(|some| some.join(". ")).collect();
    let largest: String = long.chars().cycle().take(MAX_TEXT_BYTES / 4).collect();

    let mut out = io::stdout().lock();
    writeln!(out, "Loading takes {loading:.1?}.\n")?;
    writeln!(
        out,
        "| texts | bytes, mean | p50 | p95 | longest |\n| --- | ---: | ---: | ---: | ---: |"
    )?;
    for (name, texts) in [
        ("lines", texts),
        ("prompts of eight lines", prompts),
        ("the longest", vec![largest]),
    ] {
        let times = times(&moderator, &texts)?;
        let at = |share: usize| {
            times
                .get((times.len() - 1) * share / 100)
                .copied()
                .unwrap_or_default()
        };
        let bytes: usize = texts.iter().map(String::len).sum();
        let mean = bytes / texts.len();
        writeln!(
            out,
            "| {name} | {mean} | {:.1?} | {:.1?} | {:.1?} |",
            at(50),
            at(95),
            at(100)
        )?;
    }
    Ok(())
}

/// How long each assessment took, in order.
fn times(moderator: &TextModerator, texts: &[String]) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        for text in texts {
            let started = Instant::now();
            moderator.assess(text, Audience::General)?;
            times.push(started.elapsed());
        }
    }
    times.sort_unstable();
    Ok(times)
}
