use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kinora_mesh::secret::Secret;
use kinora_testkit::smtp::{Security, TestSmtp};
use uuid::Uuid;

use super::*;

fn now() -> Time {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn row(recipient: &str) -> mail::Model {
    mail::Model {
        id: Uuid::now_v7(),
        recipient: recipient.to_owned(),
        subject: "Verify your mail address".to_owned(),
        body: "Hello.\n\nYour code:\n\nabc-123\n".to_owned(),
        attempts: 1,
        create_time: now(),
        next_attempt_time: now(),
        give_up_time: now(),
    }
}

fn by_smtp(url: String, ca_file: &Path) -> MailOptions {
    MailOptions {
        smtp_url: Some(Secret::new(url)),
        smtp_ca_file: Some(ca_file.to_owned()),
        from: Some("no-reply@kinora.example".to_owned()),
        folder: None,
    }
}

fn to(server: &TestSmtp) -> Carrier {
    Carrier::new(&by_smtp(server.url(), &server.ca_file())).unwrap()
}

fn problem(options: &MailOptions) -> String {
    match Carrier::new(options) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("the options were taken"),
    }
}

#[tokio::test]
async fn mail_goes_out_under_tls_with_user_and_headers() {
    for security in [Security::Tls, Security::StartTls] {
        let server = TestSmtp::start(security).await;
        let mail = row("ada@example.org");
        to(&server).carry(&mail, now()).await.unwrap();
        let got = server.mails();
        assert_eq!(got.len(), 1);
        for line in [
            "Test-Encrypted: true",
            "Test-User: kinora",
            "Test-From: no-reply@kinora.example",
            "Test-To: ada@example.org",
            "From: Kinora <no-reply@kinora.example>",
            "To: ada@example.org",
            "Subject: Verify your mail address",
            "Date: Sun, 22 Nov 2026 12:00:00 +0000",
            &format!("Message-ID: <{}@kinora.example>", mail.id),
            "Auto-Submitted: auto-generated",
            "abc-123",
        ] {
            assert!(got[0].lines().any(|it| it == line), "{line} in {}", got[0]);
        }
    }
}

#[tokio::test]
async fn server_with_a_wrong_certificate_gets_nothing() {
    let (server, other) = tokio::join!(
        TestSmtp::start(Security::Tls),
        TestSmtp::start(Security::StartTls)
    );
    let wrong = [
        // Of another authority, of none that is known, and for another name.
        by_smtp(server.url(), &other.ca_file()),
        by_smtp(other.url(), &server.ca_file()),
        MailOptions {
            smtp_ca_file: None,
            ..by_smtp(server.url(), &server.ca_file())
        },
        by_smtp(server.url_by("127.0.0.1", server.port()), &server.ca_file()),
        by_smtp(other.url_by("127.0.0.1", other.port()), &other.ca_file()),
    ];
    for options in wrong {
        let carrier = Carrier::new(&options).unwrap();
        let refused = carrier.carry(&row("ada@example.org"), now()).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, CarryError::Connection(_)), "{refused}");
        assert!(!refused.is_final());
    }
    assert_eq!((server.mails().len(), other.mails().len()), (0, 0));
}

#[tokio::test]
async fn server_without_encryption_is_told_neither_password_nor_mail() {
    let server = TestSmtp::start(Security::None).await;
    let refused = to(&server).carry(&row("ada@example.org"), now()).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, CarryError::Connection(_)), "{refused}");
    assert!(!server.has_seen_password_in_the_clear());
    assert_eq!(server.mails().len(), 0);
    // That the server would have taken it shows that the test can fail.
    let url = format!("{}?tls=none", server.url_by("127.0.0.1", server.port()));
    let careless = Carrier::new(&by_smtp(url, &server.ca_file())).unwrap();
    careless
        .carry(&row("ada@example.org"), now())
        .await
        .unwrap();
    assert!(server.has_seen_password_in_the_clear());
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn only_what_is_refused_of_a_mail_itself_is_final() {
    let server = TestSmtp::start(Security::Tls).await;
    let carrier = to(&server);
    let refused = carrier.carry(&row("nobody-1@example.org"), now()).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, CarryError::Refused(550)), "{refused}");
    assert!(refused.is_final());
    let busy = row("busy-1@example.org");
    let put_off = carrier.carry(&busy, now()).await.unwrap_err();
    assert!(matches!(put_off, CarryError::PutOff(451)), "{put_off}");
    assert!(!put_off.is_final());
    carrier.carry(&busy, now()).await.unwrap();
    // Mails are not to be lost because of a password that is wrong for a while.
    let url = server.url().replace("word", "wort");
    let stranger = Carrier::new(&by_smtp(url, &server.ca_file())).unwrap();
    let refused = stranger.carry(&row("ada@example.org"), now()).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, CarryError::NotLetIn(535)), "{refused}");
    assert!(!refused.is_final());
}

#[tokio::test]
async fn what_would_be_more_headers_or_recipients_is_no_mail() {
    let folder = tempfile::tempdir().unwrap();
    let carrier = Carrier::new(&MailOptions::to_folder(folder.path())).unwrap();
    for recipient in [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org, eve@example.org",
        "ada@example.org> RCPT TO:<eve@example.org",
        "nobody",
        "",
    ] {
        let unfit = carrier.carry(&row(recipient), now()).await.unwrap_err();
        assert!(matches!(unfit, CarryError::Unfit), "{recipient}: {unfit}");
        assert!(unfit.is_final());
    }
    let mut mail = row("ada@example.org");
    mail.subject.push_str("\r\nBcc: eve@example.org");
    assert!(carrier.carry(&mail, now()).await.is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn mail_in_a_folder_is_a_file_for_its_owner_only() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/mails");
    let carrier = Carrier::new(&MailOptions::to_folder(&path)).unwrap();
    let mail = row("ada@example.org");
    carrier.carry(&mail, now()).await.unwrap();
    carrier.carry(&mail, now()).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(&path).unwrap().collect();
    assert_eq!(files.len(), 1, "a mail that is written twice is one file");
    let file = files[0].as_ref().unwrap().path();
    let name = format!("20261122T120000Z-{}.eml", mail.id);
    assert_eq!(file.file_name().unwrap(), name.as_str());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
    let text = std::fs::read_to_string(&file).unwrap();
    for line in [
        "To: ada@example.org",
        "From: Kinora <kinora@localhost>",
        "abc-123",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn folder_that_cannot_be_written_fails_a_try_only() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("mails");
    let carrier = Carrier::new(&MailOptions::to_folder(&path)).unwrap();
    std::fs::remove_dir(&path).unwrap();
    let failed = carrier.carry(&row("ada@example.org"), now()).await;
    let failed = failed.unwrap_err();
    assert!(matches!(failed, CarryError::Folder(_)) && !failed.is_final());
}

#[test]
fn exactly_one_way_is_named_and_makes_sense() {
    let root = tempfile::tempdir().unwrap();
    let neither = problem(&MailOptions::default());
    assert!(
        neither.contains("one of --mail-smtp-url and --mail-folder"),
        "{neither}"
    );
    let smtp = |url: &str| MailOptions {
        smtp_url: Some(Secret::new(url)),
        from: Some("no-reply@kinora.example".to_owned()),
        ..MailOptions::default()
    };
    for url in [
        "smtps://kinora:secret@mail.example.org",
        "smtp://kinora:secret@mail.example.org",
        "smtp://kinora:secret@mail.example.org:2525?tls=required",
        "smtp://mail.example.org",
        "smtp://localhost?tls=none",
        "smtp://[::1]:25?tls=none",
        "smtps://[2001:db8::1]",
    ] {
        assert!(Carrier::new(&smtp(url)).is_ok(), "{url}");
    }
    for url in [
        "",
        "mail.example.org",
        "https://kinora:secret@mail.example.org",
        "smtp://kinora:secret@mail.example.org?tls=none",
        "smtp://kinora:secret@mail.example.org?tls=opportunistic",
        "smtp://kinora:secret@mail.example.org?tsl=required",
        "smtps://kinora:secret@mail.example.org?tls=none",
        "smtps://secret@mail.example.org",
    ] {
        let problem = problem(&smtp(url));
        assert!(!problem.contains("secret"), "{problem}");
    }
    let both = MailOptions {
        folder: Some(root.path().to_owned()),
        ..smtp("smtps://mail.example.org")
    };
    assert!(problem(&both).contains("only one"));
    let from = |from: Option<&str>| MailOptions {
        from: from.map(str::to_owned),
        ..smtp("smtps://mail.example.org")
    };
    assert!(problem(&from(None)).contains("--mail-from"));
    assert!(problem(&from(Some("Kinora"))).contains("--mail-from"));
    let no_ca = MailOptions {
        smtp_ca_file: Some(root.path().join("missing")),
        ..smtp("smtps://mail.example.org")
    };
    assert!(problem(&no_ca).contains("missing"));
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(problem(&MailOptions::to_folder(file)).contains("--mail-folder"));
}
