//! Identities of the services that a test starts.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use kinora_mesh::identity::authority::{Authority, LIFETIME};
use kinora_mesh::identity::{Identity, IdentityFiles};
use kinora_mesh::workload::Workload;

/// Signs for all services of this process.
static OF_THIS_PROCESS: LazyLock<Authority> =
    LazyLock::new(|| Authority::in_memory().expect("an authority"));

/// The identity of a service that runs in this process, or calls one. All of them know each other.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn identity(service: &str) -> Identity {
    let workload = TestAuthority::workload(service);
    let files = OF_THIS_PROCESS.sign(&workload, LIFETIME).expect("signs");
    Identity::of_files(&files).expect("an identity")
}

/// Writes the files of a service into a folder, for a program that knows the services of this process, and is known.
///
/// # Panics
/// When they cannot be written.
pub fn issue(service: &str, folder: &Path) {
    let workload = TestAuthority::workload(service);
    OF_THIS_PROCESS.issue(&workload, folder).expect("issues");
}

/// An authority of its own, in a folder that goes with it.
pub struct TestAuthority {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl TestAuthority {
    /// Makes a new one.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a default with files would surprise"
    )]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("makes a folder");
        let authority = Authority::open(&folder.path().join("authority")).expect("an authority");
        Self { folder, authority }
    }

    /// A service of the mesh of tests.
    #[must_use]
    pub fn workload(service: &str) -> Workload {
        Workload {
            trust_domain: "test.kinora.local".to_owned(),
            namespace: "default".to_owned(),
            service: service.to_owned(),
        }
    }

    /// Writes a service's files and gives their folder. The same service has the same folder, with new files.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn issue(&self, service: &str) -> PathBuf {
        let folder = self.folder(service);
        self.authority
            .issue(&Self::workload(service), &folder)
            .expect("issues");
        folder
    }

    /// A service's identity, read from its folder again and again.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn identity(&self, service: &str) -> Identity {
        Identity::of_folder(&self.issue(service)).expect("an identity")
    }

    /// Files of any workload, to change before they are written.
    ///
    /// # Panics
    /// When they cannot be made.
    #[must_use]
    pub fn sign(&self, workload: &Workload) -> IdentityFiles {
        self.sign_for(workload, LIFETIME)
    }

    /// As [`TestAuthority::sign`], for a time.
    ///
    /// # Panics
    /// As [`TestAuthority::sign`].
    #[must_use]
    pub fn sign_for(&self, workload: &Workload, lifetime: Duration) -> IdentityFiles {
        self.authority.sign(workload, lifetime).expect("signs")
    }

    /// The authority's certificate in PEM form.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.authority.certificate()
    }

    /// Where the files of a service are, or will be.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The folder of it all.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}
