//! `kinora models list`, `pull`, `verify` and `remove`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use chrono::Utc;
use kinora_model_store::{
    Acceptance, FileVerdict, HubToken, LicenceState, ModelState, ModelStatus, PullOptions, Pulled,
    Store, StoreError, Trust,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::jobs;
use crate::arguments::{
    Folders, ListArguments, ModelsArguments, ModelsCommand, PullArguments, RemoveArguments,
    VerifyArguments,
};
use crate::exit::{Failure, Status};
use crate::output;
use crate::transfer_display::{TransferDisplay, size};

/// Runs `kinora models`.
///
/// # Errors
///
/// [`Failure`].
pub async fn run(
    arguments: ModelsArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let ModelsArguments {
        command,
        json,
        server,
    } = arguments;
    match command {
        None => jobs::models(&server, json, folders).await,
        Some(ModelsCommand::List(list)) if list.served => {
            jobs::models(&list.server, list.json, folders).await
        }
        Some(ModelsCommand::List(arguments)) => list(&arguments, folders),
        Some(ModelsCommand::Pull(arguments)) => pull(&arguments, folders, shutdown).await,
        Some(ModelsCommand::Verify(arguments)) => verify(&arguments, folders, shutdown).await,
        Some(ModelsCommand::Remove(arguments)) => remove(&arguments, folders),
    }
}

fn list(arguments: &ListArguments, folders: &Folders) -> Result<(), Failure> {
    let store = arguments.store.open(folders)?;
    let models = store.list()?;
    if arguments.json {
        return Ok(output::json(&models)?);
    }
    let rows: Vec<[String; 5]> = models.iter().map(row).collect();
    output::result(output::table(
        ["ID", "STATE", "SIZE", "LICENCE", "TITLE"],
        &rows,
    ))?;
    output::remark(format!("store: {}", store.root().display()));
    Ok(())
}

fn row(model: &ModelStatus) -> [String; 5] {
    let state = match model.state {
        ModelState::Absent => "-".to_owned(),
        ModelState::Installed => "installed".to_owned(),
        ModelState::Partial => {
            let percent = model.present_bytes.saturating_mul(100) / model.bytes.max(1);
            format!("partial {}%", percent.min(99))
        }
    };
    let licence = match model.licence_state {
        LicenceState::Free => model.licence.clone(),
        LicenceState::Accepted => format!("{} (accepted)", model.licence),
        LicenceState::MustBeAccepted => format!("{} (to accept)", model.licence),
    };
    [
        model.id.clone(),
        state,
        size(model.bytes),
        licence,
        model.title.clone(),
    ]
}

async fn pull(
    arguments: &PullArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let store = arguments.store.open(folders)?;
    // All names first: a wrong one should not come out after hours.
    for id in &arguments.ids {
        if store.catalogue().get(id).is_none() {
            return Err(StoreError::UnknownModel(id.clone()).into());
        }
    }
    let options = pull_options(arguments)?;
    let display = TransferDisplay::new(arguments.quiet);
    let mut reports = Vec::new();
    for id in &arguments.ids {
        let pulled = pull_one(&store, id, &options, &display, &shutdown).await?;
        tell_pulled(&pulled, arguments)?;
        reports.push(pull_report(&pulled));
    }
    if arguments.json {
        output::json(&reports)?;
    }
    Ok(())
}

async fn pull_one(
    store: &Store,
    id: &str,
    options: &PullOptions,
    display: &TransferDisplay,
    shutdown: &CancellationToken,
) -> Result<Pulled, Failure> {
    let pulling = Box::pin(store.pull(id, options.clone(), display.observer(id)));
    let result = tokio::select! {
        result = pulling => Some(result),
        () = shutdown.cancelled() => None,
    };
    display.clear();
    let Some(result) = result else {
        return Err(Failure::interrupted(
            "interrupted; the same command goes on from here",
        ));
    };
    Ok(result.inspect_err(|error| explain_licence(store, error))?)
}

fn tell_pulled(pulled: &Pulled, arguments: &PullArguments) -> anyhow::Result<()> {
    if !arguments.quiet {
        say_trust(pulled);
    }
    if arguments.json {
        return Ok(());
    }
    output::result(outcome(pulled))
}

fn pull_report(pulled: &Pulled) -> serde_json::Value {
    json!({
        "id": pulled.model.id,
        "folder": pulled.model.folder,
        "was_installed": pulled.was_installed,
        "record": pulled.model.record,
    })
}

fn pull_options(arguments: &PullArguments) -> Result<PullOptions, Failure> {
    let acceptance = arguments.accept_licence.then(|| Acceptance {
        by: arguments.accepted_by.clone(),
        at: Utc::now(),
    });
    Ok(PullOptions {
        mirror: arguments.mirror.clone(),
        offline: arguments.offline,
        token: hub_token(arguments)?,
        acceptance,
        repair: arguments.repair,
        ..PullOptions::default()
    })
}

fn hub_token(arguments: &PullArguments) -> Result<Option<HubToken>, Failure> {
    if let Some(token) = &arguments.hub_token {
        return Ok(Some(token.clone()));
    }
    let Some(path) = &arguments.hub_token_file else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))
        .map_err(|error| Failure::new(Status::Usage, error))?;
    Ok(HubToken::new(&text))
}

/// Shows the terms that are to be accepted.
fn explain_licence(store: &Store, error: &StoreError) {
    if let StoreError::LicenceNotAccepted { id, .. } = error
        && let Some(entry) = store.catalogue().get(id)
    {
        output::remark(format!("{}\n", entry.licence.text));
    }
}

fn outcome(pulled: &Pulled) -> String {
    let model = &pulled.model;
    let how = if pulled.was_installed {
        "was installed already"
    } else {
        "is installed"
    };
    format!("{} {how} in {}", model.id, model.folder.display())
}

/// Says plainly which files nobody vouches for.
fn say_trust(pulled: &Pulled) {
    let files = &pulled.model.record.files;
    let count = |trust| files.iter().filter(|file| file.trust == trust).count();
    let (hub, first) = (count(Trust::Hub), count(Trust::FirstUse));
    if hub > 0 {
        output::remark(format!(
            "{hub} files have no published digest in the catalogue; they match what the hub says about them"
        ));
    }
    if first > 0 {
        output::remark(format!(
            "{first} files have no published digest; they are trusted as they came, and `kinora models verify` holds them to that"
        ));
    }
}

async fn verify(
    arguments: &VerifyArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let store = arguments.store.open(folders)?;
    let ids = ids_to_verify(&store, &arguments.ids)?;
    let display = TransferDisplay::new(arguments.quiet);
    let mut reports = Vec::new();
    let mut bad_files = 0;
    for id in &ids {
        let verdicts = verify_one(&store, id, &display, &shutdown).await?;
        display.clear();
        bad_files += verdicts
            .iter()
            .filter(|file| !file.verdict.is_good())
            .count();
        if !arguments.json {
            output::result(report(id, &verdicts))?;
        }
        reports.push(json!({ "id": id, "files": verdicts }));
    }
    if arguments.json {
        output::json(&reports)?;
    }
    match bad_files {
        0 => Ok(()),
        count => Err(Failure::new(
            Status::Failed,
            anyhow::anyhow!(
                "{count} bad files; `kinora models pull ID --repair` fetches them again"
            ),
        )),
    }
}

/// The named models, else all that are installed.
fn ids_to_verify(store: &Store, named: &[String]) -> Result<Vec<String>, Failure> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let models = store.models()?;
    if models.is_empty() {
        output::remark(format!(
            "no model is installed in {}",
            store.root().display()
        ));
    }
    Ok(models.into_iter().map(|model| model.id).collect())
}

async fn verify_one(
    store: &Store,
    id: &str,
    display: &TransferDisplay,
    shutdown: &CancellationToken,
) -> Result<Vec<FileVerdict>, Failure> {
    let is_wanted = Arc::new(AtomicBool::new(true));
    let (store, name, display) = (store.clone(), id.to_owned(), display.clone());
    let reading = Arc::clone(&is_wanted);
    let mut checking = tokio::task::spawn_blocking(move || {
        store.verify(&name, |progress| {
            display.checked(&name, &progress);
            reading.load(Ordering::Relaxed)
        })
    });
    tokio::select! {
        verdicts = &mut checking => Ok(verdicts.map_err(anyhow::Error::from)??),
        () = shutdown.cancelled() => {
            is_wanted.store(false, Ordering::Relaxed);
            Err(Failure::interrupted("interrupted"))
        }
    }
}

fn report(id: &str, verdicts: &[FileVerdict]) -> String {
    let bad: Vec<&FileVerdict> = verdicts
        .iter()
        .filter(|file| !file.verdict.is_good())
        .collect();
    if bad.is_empty() {
        return format!("{id}: {} files, all good", verdicts.len());
    }
    let lines = bad
        .iter()
        .map(|file| format!("\n  {}: {}", file.path, file.verdict));
    format!(
        "{id}: {} of {} files are bad{}",
        bad.len(),
        verdicts.len(),
        lines.collect::<String>()
    )
}

fn remove(arguments: &RemoveArguments, folders: &Folders) -> Result<(), Failure> {
    let store = arguments.store.open(folders)?;
    store.remove(&arguments.id)?;
    output::result(format!("{} is removed", arguments.id))?;
    Ok(())
}
