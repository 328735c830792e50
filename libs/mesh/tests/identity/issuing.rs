//! The authority of one's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use kinora_mesh::error::chain;
use kinora_mesh::identity::authority::{Authority, LIFETIME};
use kinora_mesh::identity::{AUTHORITIES, CERTIFICATE, Identity, KEY};
use kinora_testkit::identity::TestAuthority;
use kinora_testkit::wait::until;
use tokio_util::sync::CancellationToken;

use crate::echo::PATIENCE;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn an_authority_is_made_once_and_issues_for_its_owner_only() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a/authority");
    let made = Authority::open(&folder).unwrap();
    let opened = Authority::open(&folder).unwrap();
    assert_eq!(made.certificate(), opened.certificate());
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("authority.pem")), 0o600);
    let edge = root.path().join("edge");
    for _ in 0..3 {
        opened
            .issue(&TestAuthority::workload("edge"), &edge)
            .unwrap();
    }
    assert_eq!(mode(&edge), 0o700);
    for name in [CERTIFICATE, KEY, AUTHORITIES] {
        assert_eq!(mode(&edge.join(name)), 0o600, "{name}");
    }
    // The three links, the one behind them, and one set.
    assert_eq!(fs::read_dir(&edge).unwrap().count(), 5);
    let edge = Identity::of_folder(&edge).unwrap();
    assert_eq!(*edge.workload(), TestAuthority::workload("edge"));
    let left = edge.ends().duration_since(SystemTime::now()).unwrap();
    assert!(left <= LIFETIME && left > LIFETIME - Duration::from_secs(60));
}

#[test]
fn several_may_open_a_missing_authority_at_once() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("authority");
    let open = || Authority::open(&folder).unwrap().certificate().to_owned();
    let seen: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|certificate| *certificate == seen[0]));
}

#[test]
fn a_damaged_authority_is_named_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("authority.pem");
    fs::write(&file, "nothing").unwrap();
    let error = Authority::open(root.path()).err().map(|it| chain(&it));
    let error = error.unwrap();
    assert!(
        error.contains("authority.pem holds no private key"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(file).unwrap(), "nothing");
}

#[tokio::test]
async fn certificates_are_renewed_before_they_end() {
    let root = tempfile::tempdir().unwrap();
    let authority = Authority::open(&root.path().join("authority")).unwrap();
    let folder = root.path().join("edge");
    let services = vec![(TestAuthority::workload("edge"), folder.clone())];
    let stop = CancellationToken::new();
    let (lifetime, check) = (Duration::from_secs(9), Duration::from_millis(50));
    let kept = authority.keep_issued_for(services, lifetime, check, stop.clone());
    kept.unwrap();
    let edge = Identity::of_folder(&folder).unwrap();
    let first = edge.ends();
    let renewed = until("a renewed certificate", PATIENCE, async || {
        let ends = edge.ends();
        (ends > first).then_some(ends).ok_or(ends)
    })
    .await;
    // When it was made, however late it is looked at.
    assert!(renewed - lifetime < first, "it was renewed in time");
    stop.cancel();
}
