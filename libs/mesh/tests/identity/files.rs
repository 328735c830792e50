//! Files that are missing, damaged, or do not fit together.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use kinora_mesh::error::chain;
use kinora_mesh::identity::{AUTHORITIES, CERTIFICATE, Identity, IdentityFiles, KEY};
use kinora_testkit::identity::TestAuthority;
use kinora_testkit::wait::until;

use crate::echo::{PATIENCE, Server};

/// As a person would put them there, without links.
fn write_plain(folder: &Path, files: &IdentityFiles) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(CERTIFICATE), &files.certificates).unwrap();
    fs::write(folder.join(KEY), &files.key).unwrap();
    fs::write(folder.join(AUTHORITIES), &files.authorities).unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_said_with_the_file() {
    let (authority, other) = (TestAuthority::new(), TestAuthority::new());
    let edge = TestAuthority::workload("edge");
    let good = || authority.sign(&edge);
    let strange = other.sign(&edge);
    let cases: [(IdentityFiles, &str); 6] = [
        (
            IdentityFiles {
                certificates: "x".to_owned(),
                ..good()
            },
            "tls.crt holds no certificate in PEM form",
        ),
        (
            IdentityFiles {
                key: String::new(),
                ..good()
            },
            "tls.key holds no private key in PEM form",
        ),
        (
            IdentityFiles {
                key: strange.key.clone(),
                ..good()
            },
            "tls.key is not the key of the certificate beside it",
        ),
        (
            IdentityFiles {
                authorities: "\n".to_owned(),
                ..good()
            },
            "ca.crt holds no certificate in PEM form",
        ),
        (
            IdentityFiles {
                authorities: strange.authorities,
                ..good()
            },
            "tls.crt is not one that the authorities in ca.crt have signed",
        ),
        (
            IdentityFiles {
                certificates: authority.certificate().to_owned(),
                ..good()
            },
            "tls.crt is not the certificate of a service",
        ),
    ];
    for (index, (files, expected)) in cases.iter().enumerate() {
        let folder = authority.folder(&index.to_string());
        write_plain(&folder, files);
        let error = chain(&Identity::of_folder(&folder).unwrap_err());
        let path = folder.display().to_string();
        assert!(error.contains(expected) && error.contains(&path), "{error}");
    }
    let missing = Identity::of_folder(&authority.folder("nowhere"));
    let error = chain(&missing.unwrap_err());
    assert!(error.contains("nowhere/tls.crt cannot be read"), "{error}");
}

#[tokio::test]
async fn half_written_files_leave_the_old_identity_in_use() {
    let log = Log::default();
    let _logging = log.listen();
    let authority = TestAuthority::new();
    let folder = authority.folder("edge");
    let (first, second) = (
        authority.sign(&TestAuthority::workload("edge")),
        authority.sign(&TestAuthority::workload("edge")),
    );
    write_plain(&folder, &first);
    let edge = Identity::of_folder(&folder).unwrap();
    let server = Server::start(&authority.identity("scheduler")).await;
    let half = &second.certificates[..second.certificates.len() / 2];
    fs::write(folder.join(CERTIFICATE), half).unwrap();
    log.wait_for("tls.crt holds no certificate").await;
    server.call(&edge).await.unwrap();
    fs::write(folder.join(CERTIFICATE), &second.certificates).unwrap();
    log.wait_for("tls.key is not the key").await;
    server.call(&edge).await.unwrap();
    fs::remove_file(folder.join(KEY)).unwrap();
    log.wait_for("tls.key cannot be read").await;
    server.call(&edge).await.unwrap();
    fs::write(folder.join(KEY), &second.key).unwrap();
    log.wait_for("a new certificate is in use").await;
    server.call(&edge).await.unwrap();
    let stranger = authority.sign(&TestAuthority::workload("scheduler"));
    write_plain(&folder, &stranger);
    log.wait_for("and this service is spiffe://").await;
    let seen = server.call(&edge).await.unwrap();
    assert!(seen.ends_with("/edge"), "{seen}");
    for problem in [
        "tls.crt holds no",
        "tls.key is not the key",
        "cannot be read",
    ] {
        assert_eq!(log.text().matches(problem).count(), 1, "{}", log.text());
    }
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let own = self.clone();
        let format = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = format.with_writer(move || own.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    async fn wait_for(&self, text: &str) {
        until("a line of the log", PATIENCE, async || {
            let log = self.text();
            if log.contains(text) { Ok(()) } else { Err(log) }
        })
        .await;
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
