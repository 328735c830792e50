use clap::Parser;

use super::*;
use crate::arguments::{AdminCommand, Arguments, Command};

fn parse(line: &str) -> Result<AdminCommand, String> {
    let line = ["kinora", "admin"]
        .into_iter()
        .chain(line.split_whitespace());
    let parsed = Arguments::try_parse_from(line).map_err(|error| error.to_string())?;
    match parsed.command {
        Command::Admin(admin) => Ok(admin.command),
        _ => panic!("not of operators"),
    }
}

fn create(options: &str) -> Result<CreateCampaignArguments, String> {
    match parse(&format!("vouchers create --campaign odyssey {options}"))? {
        AdminCommand::Vouchers(VouchersCommand::Create(create)) => Ok(*create),
        _ => panic!("not of campaigns"),
    }
}

#[test]
fn the_command_of_a_contest_is_understood() {
    let made = create("--count 500 --seconds 600 --access --expires 2027-01-31").unwrap();
    assert_eq!((made.campaign.as_str(), made.count), ("odyssey", 500));
    assert_eq!((made.credits(), made.access), (600_000, true));
    assert_eq!(made.expires.as_deref(), Some("2027-02-01T00:00:00Z"));
    assert_eq!((made.max_uses, made.per_user), (1, 1));
}

#[test]
fn campaigns_give_something_and_within_bounds() {
    for (options, named) in [
        ("--count 5", "--seconds"),
        ("--seconds 1 --credits 1", "--credits"),
        ("--seconds 0", "--seconds"),
        ("--seconds 1.5", "--seconds"),
        ("--credits -1", "-1"),
        ("--credits 18446744073709551616", "--credits"),
        ("--access --count 0", "--count"),
        ("--access --count 10001", "--count"),
        ("--access --max-uses 0", "--max-uses"),
        ("--access --per-user 0", "--per-user"),
        ("--access --expires tomorrow", "--expires"),
        ("--access --starts 2027-02-30", "--starts"),
    ] {
        let error = create(options).expect_err(options);
        assert!(error.contains(named), "{options}: {error}");
    }
    assert_eq!(create("--credits 1").unwrap().credits(), 1);
    assert_eq!(create("--plan studio").unwrap().credits(), 0);
}

#[test]
fn one_thing_is_disabled_at_a_time() {
    assert!(parse("vouchers disable --campaign odyssey --claw-back").is_ok());
    assert!(parse("vouchers disable --voucher x").is_ok());
    assert!(parse("vouchers disable").is_err());
    assert!(parse("vouchers disable --voucher x --campaign odyssey").is_err());
}

#[test]
fn adjustments_may_take_away() {
    let credits = |amount: &str| {
        let line = format!("billing adjust user:x --note n {amount}");
        match parse(&line)? {
            AdminCommand::Billing(BillingCommand::Adjust(adjust)) => Ok(adjust.credits()),
            _ => Err("not an adjustment".to_owned()),
        }
    };
    assert_eq!(credits("--seconds -60"), Ok(-60_000));
    assert_eq!(credits("--credits -1"), Ok(-1));
    assert_eq!(credits("--credits 7"), Ok(7));
    assert!(credits("").is_err());
    assert!(credits("--seconds 1 --credits 1").is_err());
}

#[test]
fn a_window_has_two_ends_or_is_the_month() {
    assert!(parse("billing window --from 2027-01-15 --to 2027-01-31").is_ok());
    assert!(parse("billing window --month").is_ok());
    assert!(parse("billing window").is_err());
    assert!(parse("billing window --from 2027-01-15").is_err());
    assert!(parse("billing window --to 2027-01-15").is_err());
    assert!(parse("billing window --month --to 2027-01-15").is_err());
}

#[test]
fn a_code_is_redeemed_or_codes_are_listed() {
    let parse = |line: &[&str]| Arguments::try_parse_from(line).map(|_| ());
    assert!(parse(&["kinora", "redeem", "7K2M-9QXB"]).is_ok());
    assert!(parse(&["kinora", "redeem", "--list"]).is_ok());
    assert!(parse(&["kinora", "redeem"]).is_err());
    assert!(parse(&["kinora", "redeem", "x", "--list"]).is_err());
    assert!(parse(&["kinora", "usage", "-o", "x.csv"]).is_err());
    assert!(parse(&["kinora", "usage", "--export", "csv", "-o", "x.csv"]).is_ok());
}
