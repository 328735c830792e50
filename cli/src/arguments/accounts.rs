//! Arguments of `kinora admin users`, `orgs`, `keys`, `terms`, `signing-keys` and `audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// People.
#[derive(Clone, Debug, Subcommand)]
pub enum UsersCommand {
    /// List them, newest first.
    List {
        /// Part of the address or the name, or an id.
        #[arg(long, default_value = "")]
        query: String,
        /// How many to list.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one.
    Show {
        /// Id, or address.
        user: String,
    },
    /// Make an account whose address counts as verified. Its owner sets a password by a reset.
    Create {
        /// Address of mail.
        email: String,
        /// Name to show.
        #[arg(long, default_value = "")]
        name: String,
        /// May administer the platform.
        #[arg(long)]
        operator: bool,
    },
    /// Let nobody in, and end sessions and keys within seconds.
    Disable {
        /// Id.
        id: String,
        /// For the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Let them in again.
    Enable {
        /// Id.
        id: String,
    },
    /// Let somebody administer the platform.
    Promote {
        /// Id.
        id: String,
    },
    /// Take that away.
    Demote {
        /// Id.
        id: String,
    },
    /// End all their sessions.
    SignOut {
        /// Id.
        id: String,
    },
    /// Take codes and passkeys off an account whose owner has lost them.
    ResetSecondFactors {
        /// Id.
        id: String,
        /// For the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Record that a verifier outside of the platform has found whether they are of age.
    SetAge {
        /// Id.
        id: String,
        /// Whether they are.
        #[arg(long, action = clap::ArgAction::Set)]
        adult: bool,
        /// Who found it.
        #[arg(long)]
        method: String,
    },
}

/// Organisations.
#[derive(Clone, Debug, Subcommand)]
pub enum OrgsCommand {
    /// List them, newest first.
    List {
        /// Part of the name, or an id.
        #[arg(long, default_value = "")]
        query: String,
        /// How many to list.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

/// API keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// List those of a user or a service account.
    List {
        /// Its id.
        owner: String,
    },
    /// Revoke one; effective everywhere within ten seconds.
    Revoke {
        /// Id of the key.
        id: String,
    },
}

/// The terms of use.
#[derive(Clone, Debug, Subcommand)]
pub enum TermsCommand {
    /// List the versions, newest first.
    List,
    /// Put the next version into force. Nobody generates until they have accepted it.
    Publish {
        /// Its text, in Markdown.
        file: PathBuf,
    },
}

/// The keys that sign tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum SigningKeysCommand {
    /// List them.
    List,
    /// Make the standby key current.
    Rotate,
    /// Refuse tokens under one.
    Revoke {
        /// Id of the key.
        id: String,
    },
}

/// Options of `kinora admin audit`.
#[derive(Args, Clone, Debug)]
pub struct AuditArguments {
    /// Who did it: id of a user, a service account or a key.
    #[arg(long, default_value = "")]
    pub actor: String,
    /// Whose account or organisation it concerns.
    #[arg(long, default_value = "")]
    pub subject: String,
    /// What was done, or how that begins, for example `key.`.
    #[arg(long, default_value = "")]
    pub action: String,
    /// Not before, for example 2026-11-01T00:00:00Z.
    #[arg(long)]
    pub since: Option<String>,
    /// Before.
    #[arg(long)]
    pub until: Option<String>,
    /// How many to list, newest first.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Write all that fits, oldest first, a line of JSON each.
    #[arg(long)]
    pub export: bool,
}
