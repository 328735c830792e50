//! Prints, as markdown, how much of the labelled sets the moderator gets right. `--misses` adds what it does not, of the sets
//! that the data may be tuned on.

#[path = "../eval/harness.rs"]
mod harness;

use std::io::{self, Write};

use anyhow::Result;
use harness::{Count, LANGUAGES, Measured, SETS, lines, measure, moderator};
use kinora_moderation::Category;

/// The sets whose misses may be looked at.
const TUNED_ON: [&str; 3] = ["dev", "everyday_dev", "paraphrased_dev"];

fn main() -> Result<()> {
    let moderator = moderator()?;
    let mut out = io::stdout().lock();
    for set in SETS {
        let measured = measure(&moderator, &lines(set)?)?;
        writeln!(out, "## Moderation, {set}\n")?;
        categories(&mut out, &measured)?;
        languages(&mut out, &measured)?;
        disguises(&mut out, &measured)?;
        if TUNED_ON.contains(&set) && std::env::args().any(|argument| argument == "--misses") {
            for miss in &measured.misses {
                writeln!(out, "- {miss}")?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

fn categories(out: &mut impl Write, measured: &Measured) -> io::Result<()> {
    writeln!(
        out,
        "| category | texts | recall | stopped | precision | {} |",
        LANGUAGES.join(" | ")
    )?;
    writeln!(
        out,
        "| --- | ---: | ---: | ---: | ---: |{}",
        " ---: |".repeat(LANGUAGES.len())
    )?;
    for category in Category::ALL {
        let recall = measured.recall_of(category);
        let stopped = measured.stopped.get(&category).copied();
        let stopped = stopped.unwrap_or_default();
        let precision = measured
            .precision
            .get(&category)
            .copied()
            .unwrap_or_default();
        write!(
            out,
            "| {} | {} | {:.3} | {:.3} | {:.3} |",
            category.id(),
            recall.all,
            recall.rate(),
            stopped.rate(),
            precision.rate()
        )?;
        for language in LANGUAGES {
            let count = measured.recall.get(&(category, language)).copied();
            write!(out, " {:.2} |", count.unwrap_or_default().rate())?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn languages(out: &mut impl Write, measured: &Measured) -> io::Result<()> {
    writeln!(
        out,
        "| language | about nothing | allowed |\n| --- | ---: | ---: |"
    )?;
    for (language, count) in &measured.benign {
        writeln!(out, "| {language} | {} | {:.3} |", count.all, count.rate())?;
    }
    writeln!(out)
}

fn disguises(out: &mut impl Write, measured: &Measured) -> io::Result<()> {
    writeln!(
        out,
        "| disguise | texts | recall | of what is always refused |\n| --- | ---: | ---: | ---: |"
    )?;
    for (disguise, count) in &measured.disguised {
        let always = measured.always_disguised.get(disguise).copied();
        let always: Count = always.unwrap_or_default();
        writeln!(
            out,
            "| {} | {} | {:.3} | {:.3} |",
            disguise.id(),
            count.all,
            count.rate(),
            always.rate()
        )?;
    }
    writeln!(out)
}
