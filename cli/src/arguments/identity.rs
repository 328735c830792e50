//! Arguments of `kinora identity`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::mesh::{NAMESPACE, TRUST_DOMAIN};

const ISSUE_HELP: &str = "\
Example:
  kinora identity issue --authority ca --service scheduler --out identities/scheduler
  kinora-scheduler --identity-dir identities/scheduler

Services: scheduler, edge, worker. Certificates are valid for 90 days; run the same command again to renew one, and the
service takes it over while it runs. Whoever has the authority's folder can be any service: keep it off the machines of
the mesh, and give each its own folder alone. In Kubernetes, cert-manager's csi-driver-spiffe does all of this.";

/// Options of `kinora identity`.
#[derive(Args, Clone, Debug)]
pub struct IdentityArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: IdentityCommand,
}

/// What to do with identities.
#[derive(Clone, Debug, Subcommand)]
pub enum IdentityCommand {
    /// Write a new certificate, its key and the authority's certificate into a folder.
    Issue(IssueArguments),
}

/// Options of `kinora identity issue`.
#[derive(Args, Clone, Debug)]
#[command(after_help = ISSUE_HELP)]
pub struct IssueArguments {
    /// Folder of the authority that signs; a new one is made when it has none.
    #[arg(long)]
    pub authority: PathBuf,
    /// The service, for example worker.
    #[arg(long)]
    pub service: String,
    /// Folder for tls.crt, tls.key and ca.crt.
    #[arg(long)]
    pub out: PathBuf,
    /// The trust domain, the same for all services of a mesh.
    #[arg(long, default_value = TRUST_DOMAIN)]
    pub trust_domain: String,
    /// The namespace, the same for all services of a mesh.
    #[arg(long, default_value = NAMESPACE)]
    pub namespace: String,
}
