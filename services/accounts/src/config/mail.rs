//! How mails leave.

use std::path::PathBuf;

use clap::Args;
use kinora_mesh::secret::Secret;

/// How mails leave: through a mail server, or into a folder. Exactly one of the two is given.
#[derive(Args, Clone, Debug, Default)]
pub struct MailOptions {
    /// The mail server: `smtps://USER:PASSWORD@HOST` (TLS from the start, port 465) or `smtp://USER:PASSWORD@HOST`
    /// (STARTTLS, which it has to offer, port 587). User and password are percent-encoded. Without encryption a server is
    /// spoken to on this machine only: `smtp://127.0.0.1:25?tls=none`.
    #[arg(
        id = "mail_smtp_url",
        long = "mail-smtp-url",
        env = "KINORA_MAIL_SMTP_URL",
        hide_env_values = true
    )]
    pub smtp_url: Option<Secret>,
    /// A file (PEM) of authorities that the mail server's certificate may come from, instead of the public ones.
    #[arg(
        id = "mail_smtp_ca_file",
        long = "mail-smtp-ca-file",
        env = "KINORA_MAIL_SMTP_CA_FILE"
    )]
    pub smtp_ca_file: Option<PathBuf>,
    /// The address that mails come from. Wanted for a mail server, which has to know it.
    #[arg(id = "mail_from", long = "mail-from", env = "KINORA_MAIL_FROM")]
    pub from: Option<String>,
    /// The folder into which mails are written, one file (`.eml`) each, instead of being sent.
    #[arg(id = "mail_folder", long = "mail-folder", env = "KINORA_MAIL_FOLDER")]
    pub folder: Option<PathBuf>,
}

impl MailOptions {
    /// Mails are written into a folder, which is made when it is missing.
    #[must_use]
    pub fn to_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Some(folder.into()),
            ..Self::default()
        }
    }
}
