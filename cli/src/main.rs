//! The `kinora` program.

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, parser::ValueSource};
use kinora_cli::arguments::{Arguments, Command};
use kinora_cli::commands::{generate, jobs, model, models, reproduce, up};
use kinora_cli::exit::Failure;
use kinora_cli::output;

/// What commands log that are about one thing: only what went wrong.
const QUIET_LOG: &str = "error";

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let mut arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if !matches!(arguments.command, Command::Up(_)) && is_default(&matches, "log") {
        QUIET_LOG.clone_into(&mut arguments.telemetry.log);
    }
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, error }) => {
            output::remark(format!("kinora: {error:#}"));
            ExitCode::from(status as u8)
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    // Fails only when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _telemetry = kinora_mesh::telemetry::init("kinora", &arguments.telemetry)
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    let shutdown = kinora_mesh::shutdown::on_signals();
    let folders = &arguments.folders;
    match arguments.command {
        Command::Up(arguments) => Box::pin(up::run(*arguments, folders, shutdown)).await,
        Command::Generate(arguments) => {
            Box::pin(generate::run(*arguments, folders, shutdown)).await
        }
        Command::Jobs(arguments) => jobs::list(&arguments, folders).await,
        Command::Cancel(arguments) => jobs::cancel(&arguments, folders).await,
        Command::Models(arguments) => Box::pin(models::run(*arguments, folders, shutdown)).await,
        Command::Reproduce(arguments) => {
            Box::pin(reproduce::run(*arguments, folders, shutdown)).await
        }
        Command::Model(arguments) => model::run(arguments).await,
    }
}

/// Whether nobody chose a value; global options are known to the subcommand that was called.
fn is_default(matches: &ArgMatches, id: &str) -> bool {
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    matches.value_source(id) == Some(ValueSource::DefaultValue)
}
