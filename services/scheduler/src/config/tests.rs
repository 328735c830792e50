use clap::Parser;

use super::*;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: SchedulerOptions,
}

#[test]
fn command_line_and_constructor_have_the_same_defaults() {
    let parsed = Program::parse_from(["program"]).options;
    let made = SchedulerOptions::new(parsed.database.clone());
    assert_eq!(format!("{parsed:?}"), format!("{made:?}"));
    assert_eq!(made.problems(), None);
    assert_eq!(made.policy(), PolicyOptions::default());
    let noticed = made.worker_ttl + made.reap_interval;
    assert!(noticed < Duration::from_secs(5), "a lost worker");
    assert!(
        made.worker_ttl > 2 * made.heartbeat_interval,
        "a lost heartbeat"
    );
}

#[test]
fn wrong_value_with_a_password_is_not_printed() {
    for (name, value) in [
        ("--scheduler-database", "postgre://ada:hunter2@db/jobs"),
        ("--scheduler-database", "ada:hunter2"),
        ("--scheduler-events", "nats:ada:hunter2@h:4222"),
        ("--scheduler-events", "nats://ada:hunter2@h:4222/a b"),
    ] {
        let parsed = Program::try_parse_from(["program", name, value]);
        let Err(error) = parsed else {
            panic!("{value} was taken")
        };
        let text = error.to_string();
        assert!(text.contains(name), "{text}");
        assert!(
            !text.contains("hunter2") && !text.contains("ada:"),
            "{text}"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut options = SchedulerOptions::new("sqlite://x".parse().expect("a URL"));
    options.max_attempts = 0;
    options.events = Some(EventsVia::Postgres);
    options.picture_uploads = 0;
    options.worker_ttl = Duration::ZERO;
    let problems = options.problems().expect("problems");
    assert!(problems.contains("max-attempts") && problems.contains("worker-ttl"));
    assert!(problems.contains("picture-uploads") && problems.contains("scheduler-events"));
}
