use clap::Parser;

use super::*;
use crate::domain::job::Stage;

const LIMIT: usize = 7000;

fn event(preview: Option<Preview>) -> Arc<Event> {
    Arc::new(Event {
        job: JobId::generate(),
        seq: 2_000_007,
        time: chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("a time"),
        state: State::Running,
        attempt: 2,
        progress: Progress {
            step: 7,
            fraction: 0.3,
            eta: Some(Duration::from_secs(9)),
            ..Progress::at(Stage::Denoising, 20)
        },
        failure: None,
        outputs: None,
        preview_outputs: None,
        group: Some(GroupRef {
            id: Uuid::now_v7(),
            index: 3,
        }),
        preview,
    })
}

fn preview(bytes: usize) -> Preview {
    let mut webp = b"RIFF\0\0\0\0WEBP".to_vec();
    webp.resize(bytes, 7);
    Preview::new(&webp).expect("a WebP")
}

fn progress(event: &Arc<Event>) -> Signal {
    Signal::Progress {
        event: Arc::clone(event),
        is_new_stage: false,
    }
}

#[test]
fn signals_survive_the_wire() {
    let lease = LeaseRef {
        job: JobId::generate(),
        lease: 4,
    };
    let revoked = Signal::Revoked {
        worker: "gpu \"7\", left".to_owned(),
        lease,
    };
    let wished = Signal::Wished {
        worker: "gpu".to_owned(),
        wishes: Wishes {
            is_cordoned: true,
            is_drained: false,
        },
    };
    for signal in [
        Signal::Work,
        revoked,
        wished,
        Signal::Preempted { lease },
        progress(&event(None)),
        progress(&event(Some(preview(900)))),
    ] {
        let text = signal.to_wire(LIMIT).expect("fits");
        assert!(text.len() <= LIMIT);
        assert_eq!(Signal::from_wire(&text), Some(signal));
    }
}

#[test]
fn large_picture_stays_behind_and_its_progress_goes() {
    let shown = event(Some(preview(60_000)));
    let text = progress(&shown).to_wire(LIMIT).expect("fits");
    let bare = Event {
        preview: None,
        ..Event::clone(&shown)
    };
    assert_eq!(Signal::from_wire(&text), Some(progress(&Arc::new(bare))));
    let whole = progress(&shown).to_wire(1 << 20).expect("fits");
    assert_eq!(Signal::from_wire(&whole), Some(progress(&shown)));
}

#[test]
fn transition_is_a_hint_to_other_replicas() {
    let event = event(None);
    let signal = Signal::Changed(Arc::clone(&event));
    assert_eq!(signal.to_wire(LIMIT), None);
    let group = event.group.expect("a group");
    assert_eq!(
        signal.topics(),
        [Topic::Job(event.job), Topic::Group(group.id)]
    );
    for topic in signal
        .topics()
        .into_iter()
        .chain([Topic::Work, Topic::Revocations])
    {
        assert_eq!(topic.to_string().parse(), Ok(topic));
    }
}

#[test]
fn foreign_text_is_no_signal() {
    for text in [
        "",
        "{}",
        r#"{"is":"party"}"#,
        r#"{"is":"progress","job":"x"}"#,
        "[]",
        "null",
    ] {
        assert_eq!(Signal::from_wire(text), None, "{text}");
    }
    for text in [
        "",
        "job",
        "job.",
        "job.7",
        "group.x",
        "work.x",
        "everything",
    ] {
        assert_eq!(text.parse::<Topic>(), Err(UnknownTopic), "{text}");
    }
}

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: SchedulerOptions,
}

fn chosen(arguments: &[&str]) -> Engine {
    let arguments = [&["program"], arguments].concat();
    engine(&Program::try_parse_from(arguments).expect("parses").options)
}

#[test]
fn engine_follows_the_database_unless_it_is_named() {
    let postgres = "--scheduler-database=postgres://ada:secret@localhost/x";
    assert!(matches!(chosen(&[]), Engine::Memory));
    assert!(matches!(chosen(&[postgres]), Engine::Postgres { .. }));
    assert!(matches!(
        chosen(&[postgres, "--scheduler-events=memory"]),
        Engine::Memory
    ));
    assert!(matches!(
        chosen(&["--scheduler-events=nats://h:4222"]),
        Engine::Nats(_)
    ));
    assert!(!format!("{:?}", chosen(&[postgres])).contains("secret"));
    let refused = Program::try_parse_from(["program", "--scheduler-events=redis://h"]);
    assert!(refused.is_err());
}
