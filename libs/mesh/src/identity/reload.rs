//! Reading the files again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;

use super::Current;
use super::certificate::ServiceCertificate;
use super::error::IdentityError;
use super::material::{CERTIFICATE, Files, Material};
use crate::error::chain;

/// How often the files are read. Kubernetes swaps links to folders, which notifications of file systems miss.
const POLL: Duration = Duration::from_secs(2);

/// Certificates that live long are warned about this long before their end.
const NOTICE: Duration = Duration::from_secs(24 * 60 * 60);

/// Takes over new files until nobody uses the identity any more.
pub(super) async fn keep(current: Weak<Current>, folder: PathBuf, files: Files) {
    let mut seen = Seen::Files(files);
    let mut warned_for = None;
    loop {
        if let Some(current) = current.upgrade() {
            warn_of_end(&current.material().certificate, &mut warned_for);
        }
        tokio::time::sleep(POLL).await;
        let reading = folder.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || Files::read(&reading)).await else {
            return;
        };
        let Some(current) = current.upgrade() else {
            return;
        };
        seen = look(&current, &folder, seen, read);
    }
}

/// What was there at the last look.
enum Seen {
    Files(Files),
    Problem(String),
}

/// Acts on what has changed since the last look. What is wrong is looked at again each time, since it may pass without
/// another file: a certificate that begins in a moment, by a clock that is a little late.
fn look(current: &Current, folder: &Path, seen: Seen, read: Result<Files, IdentityError>) -> Seen {
    if matches!((&seen, &read), (Seen::Files(known), Ok(files)) if known == files) {
        return seen;
    }
    let taken = read.and_then(|files| take_over(current, folder, &files).map(|()| files));
    match taken {
        Ok(files) => {
            tracing::info!(
                ends = %format_rfc3339_seconds(current.material().certificate.ends),
                "a new certificate is in use"
            );
            Seen::Files(files)
        }
        Err(error) => {
            let problem = chain(&error);
            if !matches!(&seen, Seen::Problem(known) if *known == problem) {
                tracing::error!(%problem, "the identity's files are unusable; the old ones stay in use");
            }
            Seen::Problem(problem)
        }
    }
}

fn take_over(current: &Current, folder: &Path, files: &Files) -> Result<(), IdentityError> {
    let material = Material::check(folder, files, &current.provider)?;
    let found = &material.certificate.workload;
    if *found != current.workload {
        return Err(IdentityError::OtherWorkload {
            path: folder.join(CERTIFICATE),
            found: found.to_string(),
            expected: current.workload.to_string(),
        });
    }
    *current.material.write() = Arc::new(material);
    Ok(())
}

/// Warns once for each certificate. Those that live for an hour are renewed half an hour before their end, and a notice
/// of a day would be there all the time: the last quarter of a life is late for any.
fn warn_of_end(certificate: &ServiceCertificate, warned_for: &mut Option<SystemTime>) {
    let ServiceCertificate { starts, ends, .. } = *certificate;
    let life = ends.duration_since(starts).unwrap_or_default();
    let left = ends.duration_since(SystemTime::now()).unwrap_or_default();
    if left < NOTICE.min(life / 4) && *warned_for != Some(ends) {
        let ends_at = format_rfc3339_seconds(ends);
        tracing::warn!(%ends_at, "this service's certificate ends soon and was not renewed");
        *warned_for = Some(ends);
    }
}
