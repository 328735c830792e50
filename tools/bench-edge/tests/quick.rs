//! The benchmark works: what it measures is not looked at here.

use std::process::Command;

#[test]
fn quick_run_measures_every_way() {
    let output = Command::new(env!("CARGO_BIN_EXE_kinora-bench-edge"))
        .arg("--quick")
        .output()
        .expect("the benchmark starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let rows = |way: &str| {
        let head = format!("| {way} |");
        text.lines().filter(|line| line.starts_with(&head)).count()
    };
    let found = ["gRPC, direct", "REST, edge, HTTP/1.1", "REST, edge, HTTP/2"].map(rows);
    assert_eq!(found, [3, 4, 3], "{text}");
}
