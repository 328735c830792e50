//! What carries mails away: a mail server, or a folder on a machine of one's own.

mod folder;
mod letter;
mod smtp;

use kinora_mesh::error::chain;
use lettre::Address;
use lettre::message::Mailbox;

use crate::config::MailOptions;
use crate::domain::Time;
use crate::error::Error;
use crate::store::entity::people::mail;

use folder::Folder;
use smtp::Smtp;

/// Whom people see a mail come from.
const DISPLAY_NAME: &str = "Kinora";

/// Of mails that leave no machine.
const FOLDER_FROM: &str = "kinora@localhost";

/// Carries one mail at a time, many at once.
pub(crate) struct Carrier {
    from: Mailbox,
    way: Way,
}

enum Way {
    Smtp(Box<Smtp>),
    Folder(Folder),
}

/// A mail was not carried. Nothing personal is told of why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarryError {
    /// The server will never take this one.
    #[error("the server refused the mail for good (SMTP {0})")]
    Refused(u16),
    /// It is none: an address is no address.
    #[error("the row cannot be written as a mail")]
    Unfit,
    /// The server does not take it now.
    #[error("the server put the mail off (SMTP {0})")]
    PutOff(u16),
    /// The server takes nothing from us, whatever it is.
    #[error("the server let us not in (SMTP {0})")]
    NotLetIn(u16),
    /// There is no connection that may be used.
    #[error("no good connection: {0}")]
    Connection(String),
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// The folder cannot be written.
    #[error("the folder cannot be written")]
    Folder(#[source] std::io::Error),
}

impl CarryError {
    /// Whether it will be the same at every try.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unfit)
    }
}

impl Carrier {
    /// Makes the one that the options name. A folder is made; a mail server is not asked yet.
    ///
    /// # Errors
    /// [`Error::Options`] unless exactly one is named, and its options make sense.
    pub(crate) fn new(options: &MailOptions) -> Result<Self, Error> {
        match (&options.smtp_url, &options.folder) {
            (Some(url), None) => {
                let from = options.from.as_deref();
                let from = from.ok_or_else(|| wrong("--mail-smtp-url goes with --mail-from"))?;
                let ca = options.smtp_ca_file.as_deref();
                Ok(Self {
                    from: mailbox(from)?,
                    way: Way::Smtp(Box::new(Smtp::new(url, ca)?)),
                })
            }
            (None, Some(folder)) => {
                let folder = Folder::open(folder).map_err(|error| {
                    let folder = folder.display();
                    wrong(&format!("--mail-folder {folder}: {error}"))
                })?;
                Ok(Self {
                    from: mailbox(options.from.as_deref().unwrap_or(FOLDER_FROM))?,
                    way: Way::Folder(folder),
                })
            }
            (None, None) => Err(wrong("one of --mail-smtp-url and --mail-folder is given")),
            (Some(_), Some(_)) => Err(wrong(
                "only one of --mail-smtp-url and --mail-folder is given",
            )),
        }
    }

    /// Carries a mail. It may take for ever; who waits no longer may drop it at any moment.
    ///
    /// # Errors
    /// [`CarryError`].
    pub(crate) async fn carry(&self, mail: &mail::Model, now: Time) -> Result<(), CarryError> {
        let message = letter::message(&self.from, mail, now)?;
        match &self.way {
            Way::Smtp(smtp) => smtp.send(&message).await,
            Way::Folder(folder) => folder.write(mail, message.formatted()).await,
        }
    }
}

fn mailbox(address: &str) -> Result<Mailbox, Error> {
    let address: Address = address
        .parse()
        .map_err(|_| wrong("--mail-from is no mail address"))?;
    Ok(Mailbox::new(Some(DISPLAY_NAME.to_owned()), address))
}

fn wrong(problem: &str) -> Error {
    Error::Options(problem.to_owned())
}

/// What went wrong before the server was shown the mail.
fn connection_error(error: &lettre::transport::smtp::Error) -> CarryError {
    match error.status() {
        Some(code) => CarryError::NotLetIn(code.into()),
        None => CarryError::Connection(chain(error)),
    }
}

/// What went wrong with the mail.
fn sending_error(error: &lettre::transport::smtp::Error) -> CarryError {
    match error.status() {
        Some(code) if error.is_permanent() => CarryError::Refused(code.into()),
        Some(code) => CarryError::PutOff(code.into()),
        None => CarryError::Connection(chain(error)),
    }
}

#[cfg(test)]
mod tests;
