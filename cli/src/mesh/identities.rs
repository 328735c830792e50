//! Who the parts of a local mesh are to each other.

use std::path::Path;

use kinora_mesh::MeshError;
use kinora_mesh::identity::Identity;
use kinora_mesh::identity::authority::Authority;
use kinora_mesh::workload::Workload;
use tokio_util::sync::CancellationToken;

/// Below it, in the data folder, are the authority and a folder for each part.
const FOLDER: &str = "identity";
/// Of everything in a mesh on one machine. Each has an authority of its own, so that two meshes do not trust each other.
pub(crate) const TRUST_DOMAIN: &str = "kinora.local";
/// Where Kubernetes would have a namespace.
pub(crate) const NAMESPACE: &str = "default";

/// The identity of each part.
pub(super) struct Identities {
    pub(super) accounts: Identity,
    pub(super) billing: Identity,
    pub(super) prompts: Identity,
    pub(super) scheduler: Identity,
    pub(super) edge: Identity,
    pub(super) worker: Identity,
}

impl Identities {
    /// Issues new certificates, and renews them before they end for as long as the mesh runs.
    pub(super) fn issue(data: &Path, stop: CancellationToken) -> Result<Self, MeshError> {
        let root = data.join(FOLDER);
        let services = [
            "accounts",
            "billing",
            "prompts",
            "scheduler",
            "edge",
            "worker",
        ];
        let folders = services.map(|service| (workload(service), root.join(service)));
        Authority::open(&root.join("authority"))?.keep_issued(folders.to_vec(), stop)?;
        let identity = |service: &str| Identity::of_folder(&root.join(service));
        Ok(Self {
            accounts: identity("accounts")?,
            billing: identity("billing")?,
            prompts: identity("prompts")?,
            scheduler: identity("scheduler")?,
            edge: identity("edge")?,
            worker: identity("worker")?,
        })
    }
}

fn workload(service: &str) -> Workload {
    Workload {
        trust_domain: TRUST_DOMAIN.to_owned(),
        namespace: NAMESPACE.to_owned(),
        service: service.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn parts_get_new_certificates_of_the_same_authority_with_every_start() {
        let data = tempfile::tempdir().unwrap();
        let start = || Identities::issue(data.path(), CancellationToken::new()).unwrap();
        let read = |file: &str| std::fs::read(data.path().join(FOLDER).join(file)).unwrap();
        let first = start();
        assert_eq!(*first.edge.workload(), workload("edge"));
        assert_eq!(*first.worker.workload(), workload("worker"));
        assert_eq!(*first.scheduler.workload(), workload("scheduler"));
        let (authority, certificate) = (read("edge/ca.crt"), read("edge/tls.crt"));
        start();
        assert_eq!(read("edge/ca.crt"), authority);
        assert_ne!(read("edge/tls.crt"), certificate);
        let folder = data.path().join(FOLDER).metadata().unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    }
}
