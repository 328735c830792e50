//! The benchmark works: what it measures is not looked at here.

use std::process::Command;

use kinora_testkit::env::required;

const POSTGRES: &str = "KINORA_TEST_POSTGRES_URL";
const NATS: &str = "KINORA_TEST_NATS_SERVER";

#[test]
fn quick_run_measures_every_figure_on_every_database() {
    let output = Command::new(env!("CARGO_BIN_EXE_kinora-bench-scheduler"))
        .arg("--quick")
        // It inherits both; without them the test says what is missing.
        .env(POSTGRES, required(POSTGRES, "a PostgreSQL for tests"))
        .env(NATS, required(NATS, "a nats-server for tests"))
        .output()
        .expect("the benchmark starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let rows = |figure: &str, on: &str| {
        let head = format!("| {figure}");
        let rows = text.lines().filter(|line| line.starts_with(&head));
        rows.filter(|line| line.contains(&format!("| {on} | ")) && line.ends_with('|'))
            .count()
    };
    for database in ["PostgreSQL", "SQLite"] {
        assert_eq!(rows("claims/s", database), 2, "{text}");
        assert_eq!(rows("claim of", database), 8, "{text}");
        assert_eq!(rows("submission at", database), 2, "{text}");
        assert_eq!(rows("light tenant", database), 2, "{text}");
    }
    for bus in ["memory", "PostgreSQL", "NATS"] {
        assert_eq!(rows("events/s", bus), 2, "{text}");
    }
    // Its packages are fetched by `make bench-scheduler` alone, and the table says so.
    assert!(
        text.contains("graphile-worker") && text.contains("not measured: no --peer"),
        "{text}"
    );
}
