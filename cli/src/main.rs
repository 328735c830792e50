//! The `kinora` program.

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, parser::ValueSource};
use kinora_cli::arguments::{Arguments, Command};
use kinora_cli::commands::{
    admin, batch, credits, estimate, generate, identity, jobs, model, models, payments, prompts,
    reproduce, reviews, sequence, up, webhooks,
};
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
        Command::Remix(arguments) => Box::pin(generate::remix(*arguments, folders, shutdown)).await,
        Command::Sequence(arguments) => {
            Box::pin(sequence::run(*arguments, folders, shutdown)).await
        }
        Command::Extend(arguments) => {
            Box::pin(sequence::extend(*arguments, folders, shutdown)).await
        }
        Command::Batch(arguments) => Box::pin(batch::run(arguments, folders, shutdown)).await,
        Command::Estimate(arguments) => estimate::run(*arguments, folders).await,
        Command::Approve(arguments) => {
            Box::pin(generate::approve(*arguments, folders, shutdown)).await
        }
        Command::Prompts(arguments) => prompts::run(*arguments, folders).await,
        Command::Reviews(arguments) => reviews::run(arguments, folders).await,
        Command::Webhooks(arguments) => webhooks::run(arguments, folders).await,
        Command::Balance(arguments) => credits::balance(&arguments, folders).await,
        Command::Usage(arguments) => credits::usage(&arguments, folders).await,
        Command::Redeem(arguments) => credits::redeem(&arguments, folders).await,
        Command::Buy(arguments) => Box::pin(payments::buy(arguments, folders, shutdown)).await,
        Command::Receipts(arguments) => payments::receipts(&arguments, folders).await,
        Command::Subscription(arguments) => payments::subscription(&arguments, folders).await,
        Command::Admin(arguments) => admin::run(arguments, folders).await,
        Command::Jobs(arguments) => jobs::list(&arguments, folders).await,
        Command::Cancel(arguments) => jobs::cancel(&arguments, folders).await,
        Command::Models(arguments) => Box::pin(models::run(*arguments, folders, shutdown)).await,
        Command::Reproduce(arguments) => {
            Box::pin(reproduce::run(*arguments, folders, shutdown)).await
        }
        Command::Identity(arguments) => identity::run(arguments),
        Command::Model(arguments) => model::run(arguments).await,
    }
}

/// Whether nobody chose a value; global options are known to the subcommand that was called.
fn is_default(matches: &ArgMatches, id: &str) -> bool {
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    matches.value_source(id) == Some(ValueSource::DefaultValue)
}
