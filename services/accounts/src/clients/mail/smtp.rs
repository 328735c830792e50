//! A mail server.
//!
//! Each mail has a connection of its own. A pool would put one back that was dropped halfway, when a mail took too long, and
//! the next mail would be taken for delivered by the answer to the one before.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use kinora_mesh::error::chain;
use kinora_mesh::secret::Secret;
use lettre::Message;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::{CarryError, connection_error, sending_error, wrong};
use crate::error::Error;

/// Until each address of the server is connected to.
const CONNECT: Duration = Duration::from_secs(10);

/// A server that has taken a mail is not waited for any longer.
const GOODBYE: Duration = Duration::from_secs(2);

/// Both are good under TLS, and every server has one.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// A mail server, as it is spoken to.
pub(super) struct Smtp {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<Credentials>,
}

enum Security {
    /// From the first byte.
    Tls(TlsParameters),
    /// Before anything of ours is told; a server that does not offer it gets nothing.
    StartTls(TlsParameters),
    /// To this machine only.
    None,
}

impl Smtp {
    /// Reads the address of a server, and the authorities that it is known by.
    ///
    /// # Errors
    /// [`Error::Options`], which never holds the address: there is a password in it.
    pub(super) fn new(url: &Secret, ca: Option<&Path>) -> Result<Self, Error> {
        let url = Url::parse(url.reveal()).map_err(|_| form())?;
        let host = match url.host().ok_or_else(form)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let mut tls = None;
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("tls", "required" | "none") => tls = Some(value.into_owned()),
                _ => return Err(wrong("--mail-smtp-url takes ?tls=required or ?tls=none")),
            }
        }
        let (security, port) = match (url.scheme(), tls.as_deref()) {
            ("smtps", None | Some("required")) => {
                (Security::Tls(parameters(&host, ca)?), SUBMISSIONS_PORT)
            }
            ("smtp", None | Some("required")) => {
                (Security::StartTls(parameters(&host, ca)?), SUBMISSION_PORT)
            }
            ("smtp", Some(_)) if is_this_machine(&host) => (Security::None, SMTP_PORT),
            ("smtp", Some(_)) => {
                return Err(wrong("--mail-smtp-url is encrypted beyond this machine"));
            }
            _ => return Err(form()),
        };
        Ok(Self {
            port: url.port().unwrap_or(port),
            credentials: credentials(&url)?,
            security,
            host,
        })
    }

    /// Sends a mail.
    ///
    /// # Errors
    /// [`CarryError`].
    pub(super) async fn send(&self, message: &Message) -> Result<(), CarryError> {
        let connecting = self.connect().await;
        let mut connection = connecting.map_err(|error| connection_error(&error))?;
        connection
            .send(message.envelope(), &message.formatted())
            .await
            .map_err(|error| sending_error(&error))?;
        // It has the mail; how the talk ends changes nothing.
        let _ = tokio::time::timeout(GOODBYE, connection.quit()).await;
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let hello = ClientId::default();
        let wrapper = match &self.security {
            Security::Tls(parameters) => Some(parameters.clone()),
            Security::StartTls(_) | Security::None => None,
        };
        let server = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT), &hello, wrapper, None)
                .await?;
        if let Security::StartTls(parameters) = &self.security {
            connection.starttls(parameters.clone(), &hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

fn parameters(host: &str, ca: Option<&Path>) -> Result<TlsParameters, Error> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca {
        let problem = |text: String| wrong(&format!("{}: {text}", path.display()));
        let pem = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
        let authorities = Certificate::from_pem(&pem).map_err(|error| problem(chain(&error)))?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(authorities);
    }
    builder.build().map_err(|error| wrong(&chain(&error)))
}

fn credentials(url: &Url) -> Result<Option<Credentials>, Error> {
    let decoded = |text| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded.map(|text| text.into_owned()).map_err(|_| form())
    };
    match url.password() {
        Some(password) => {
            let user = decoded(url.username())?;
            Ok(Some(Credentials::new(user, decoded(password)?)))
        }
        None if url.username().is_empty() => Ok(None),
        // A user without a password would be nobody, silently.
        None => Err(form()),
    }
}

fn form() -> Error {
    wrong("--mail-smtp-url is smtps://USER:PASSWORD@HOST or smtp://USER:PASSWORD@HOST")
}

fn is_this_machine(host: &str) -> bool {
    let is_loopback = |address: IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}
