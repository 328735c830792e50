//! Reading the files again.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;

use super::Current;
use super::error::IdentityError;
use super::material::{CERTIFICATE, Files, Material};
use crate::error::chain;

/// How often the files are read. Kubernetes swaps links to folders, which notifications of file systems miss.
const POLL: Duration = Duration::from_secs(2);

/// Certificates that live long are warned about this long before their end.
const NOTICE: Duration = Duration::from_secs(24 * 60 * 60);

/// What is made of files, and made again of new ones.
pub(crate) trait Reloaded: Send + Sync + 'static {
    /// Where the files lie.
    type Place: Clone + Send + Sync + 'static;
    /// What they hold.
    type Files: PartialEq + Send + 'static;

    /// Reads the files.
    fn read(place: &Self::Place) -> Result<Self::Files, IdentityError>;

    /// Goes by these files from now on, if they are good.
    fn take_over(&self, place: &Self::Place, files: &Self::Files) -> Result<(), IdentityError>;

    /// When the certificate begins and ends that is in use.
    fn validity(&self) -> (SystemTime, SystemTime);
}

/// Takes over new files until nobody uses what was made of them any more.
pub(crate) async fn keep<R: Reloaded>(current: Weak<R>, place: R::Place, files: R::Files) {
    let mut seen = Seen::Files(files);
    let mut warned_for = None;
    loop {
        if let Some(current) = current.upgrade() {
            warn_of_end(current.validity(), &mut warned_for);
        }
        tokio::time::sleep(POLL).await;
        let reading = place.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || R::read(&reading)).await else {
            return;
        };
        let Some(current) = current.upgrade() else {
            return;
        };
        seen = look(&*current, &place, seen, read);
    }
}

/// What was there at the last look.
enum Seen<F> {
    Files(F),
    Problem(String),
}

/// Acts on what has changed since the last look. What is wrong is looked at again each time, since it may pass without
/// another file: a certificate that begins in a moment, by a clock that is a little late.
fn look<R: Reloaded>(
    current: &R,
    place: &R::Place,
    seen: Seen<R::Files>,
    read: Result<R::Files, IdentityError>,
) -> Seen<R::Files> {
    if matches!((&seen, &read), (Seen::Files(known), Ok(files)) if known == files) {
        return seen;
    }
    let taken = read.and_then(|files| current.take_over(place, &files).map(|()| files));
    match taken {
        Ok(files) => {
            tracing::info!(
                ends = %format_rfc3339_seconds(current.validity().1),
                "a new certificate is in use"
            );
            Seen::Files(files)
        }
        Err(error) => {
            let problem = chain(&error);
            if !matches!(&seen, Seen::Problem(known) if *known == problem) {
                tracing::error!(%problem, "the files of the certificate are unusable; the old ones stay in use");
            }
            Seen::Problem(problem)
        }
    }
}

impl Reloaded for Current {
    type Place = PathBuf;
    type Files = Files;

    fn read(folder: &PathBuf) -> Result<Files, IdentityError> {
        Files::read(folder)
    }

    fn take_over(&self, folder: &PathBuf, files: &Files) -> Result<(), IdentityError> {
        let material = Material::check(folder, files, &self.provider)?;
        let found = &material.certificate.workload;
        if *found != self.workload {
            return Err(IdentityError::OtherWorkload {
                path: folder.join(CERTIFICATE),
                found: found.to_string(),
                expected: self.workload.to_string(),
            });
        }
        *self.material.write() = Arc::new(material);
        Ok(())
    }

    fn validity(&self) -> (SystemTime, SystemTime) {
        let certificate = &self.material().certificate;
        (certificate.starts, certificate.ends)
    }
}

/// Warns once for each certificate. Those that live for an hour are renewed half an hour before their end, and a notice
/// of a day would be there all the time: the last quarter of a life is late for any.
fn warn_of_end(validity: (SystemTime, SystemTime), warned_for: &mut Option<SystemTime>) {
    let (starts, ends) = validity;
    let life = ends.duration_since(starts).unwrap_or_default();
    let left = ends.duration_since(SystemTime::now()).unwrap_or_default();
    if left < NOTICE.min(life / 4) && *warned_for != Some(ends) {
        let ends_at = format_rfc3339_seconds(ends);
        tracing::warn!(%ends_at, "a certificate ends soon and was not renewed");
        *warned_for = Some(ends);
    }
}
