//! Templates and tokenizers from files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kinora_enhancement::tokens::FileCounter;
use kinora_enhancement::{Family, Rules};

use crate::config::PromptingOptions;
use crate::error::Error;

/// The built-in templates, those of a folder that stand instead, and the tokenizers of families.
///
/// # Errors
/// [`Error::Options`] with the file and what is wrong in it.
pub fn rules(options: &PromptingOptions) -> Result<Rules, Error> {
    let mut rules = match &options.templates {
        None => Rules::embedded(),
        Some(folder) => of_folder(folder)?,
    };
    for given in &options.tokenizers {
        let (family, counter) = tokenizer(given)
            .map_err(|problem| Error::Options(format!("--family-tokenizer: {given}: {problem}")))?;
        rules = rules.with_counter(family, Arc::new(counter));
    }
    Ok(rules)
}

fn of_folder(folder: &Path) -> Result<Rules, Error> {
    let wrong = |problem: String| {
        Error::Options(format!(
            "--prompt-templates: {}: {problem}",
            folder.display()
        ))
    };
    let files = read(folder).map_err(|error| wrong(error.to_string()))?;
    if files.is_empty() {
        return Err(wrong(format!("has none of {}", Rules::FILES.join(", "))));
    }
    Rules::parse(&files).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        wrong(problems.join("; "))
    })
}

/// The files of a folder that are templates.
fn read(folder: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    // A folder that is not there has no files, which would look like one without templates.
    std::fs::read_dir(folder)?;
    for name in Rules::FILES {
        let path = folder.join(name);
        if path.exists() {
            files.insert(name.to_owned(), std::fs::read_to_string(path)?);
        }
    }
    Ok(files)
}

/// Reads `FAMILY=PATH`.
fn tokenizer(given: &str) -> Result<(Family, FileCounter), String> {
    let (family, path) = given.split_once('=').ok_or("is no FAMILY=PATH")?;
    let family = Family::from_id(family).ok_or("names no family")?;
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let counter = FileCounter::from_bytes(&text)?;
    Ok((family, counter))
}
