//! The billing service of a mesh of separate processes.

use std::path::Path;

use crate::text;

/// What everybody has in a month: more than any test spends, and few enough to be counted down.
pub const ALLOWANCE: i64 = 100_000_000;

const PLAN: &str = "tests";

const VOUCHER_KEY: &str = "2424242424242424242424242424242424242424242424242424242424242424";

/// The arguments of `kinora-billing` on a database; its plans are a file in `folder`.
///
/// `accounts` is the URL of the accounts service.
#[must_use]
pub fn arguments(folder: &Path, database: &str, port: u16, accounts: &str) -> Vec<String> {
    let plans = folder.join("plans.toml");
    let plan = format!(
        "[[plan]]\nname = \"{PLAN}\"\ntitle = \"Tests\"\nmonthly_credits = {ALLOWANCE}\naccess = true\n"
    );
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&plans, plan).unwrap();
    let listen = format!("127.0.0.1:{port}");
    [
        "--listen",
        &listen,
        "--billing-database",
        database,
        "--accounts-endpoint",
        accounts,
        "--plans",
        text(&plans),
        "--default-plan",
        PLAN,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Its environment.
#[must_use]
pub fn environment() -> Vec<(&'static str, String)> {
    vec![("KINORA_VOUCHER_KEY", VOUCHER_KEY.to_owned())]
}
