//! `kinora balance`, `usage` and `redeem`.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::accounts::text;
use super::connect::any_mesh;
use crate::arguments::Folders;
use crate::arguments::billing::{BalanceArguments, RedeemArguments, UsageArguments};
use crate::client::download::Target;
use crate::client::{Api, ApiError};
use crate::exit::Failure;
use crate::output::{self, show};

/// Runs `kinora balance`.
///
/// # Errors
///
/// [`Failure`].
pub async fn balance(arguments: &BalanceArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let path = ["v1", "balance"];
    let balance = api.call(Method::GET, &path, &[], None).await?["balance"].take();
    Ok(show(arguments.json, &balance, || describe(&balance))?)
}

/// Runs `kinora usage`.
///
/// # Errors
///
/// [`Failure`].
pub async fn usage(arguments: &UsageArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let mut query = Vec::new();
    query.extend(arguments.from.as_deref().map(|day| ("from_day", day)));
    query.extend(arguments.to.as_deref().map(|day| ("to_day", day)));
    if let Some(format) = arguments.export {
        query.push(("format", format.name()));
        let path = ["v1", "usage:export"];
        return write_file(&api, &path, &query, arguments.output.as_deref()).await;
    }
    let path = ["v1", "usage"];
    let usage = api.call(Method::GET, &path, &query, None).await?;
    Ok(show(arguments.json, &usage, || usage_table(&usage))?)
}

/// Runs `kinora redeem`.
///
/// # Errors
///
/// [`Failure`].
pub async fn redeem(arguments: &RedeemArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let Some(code) = &arguments.code else {
        let path = ["v1", "vouchers"];
        let mut answer = api.call(Method::GET, &path, &[], None).await?;
        let redemptions = answer["redemptions"].take();
        let rows = redemptions
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        return Ok(show(arguments.json, &redemptions, || {
            redemption_table(rows)
        })?);
    };
    let path = ["v1", "vouchers:redeem"];
    let body = json!({ "code": code });
    let mut answer = api.call(Method::POST, &path, &[], Some(body)).await?;
    let redemption = answer["redemption"].take();
    Ok(show(arguments.json, &redemption, || redeemed(&redemption))?)
}

/// Writes a file of the mesh to a path, in one step, or to the output.
pub(super) async fn write_file(
    api: &Api,
    path: &[&str],
    query: &[(&str, &str)],
    output: Option<&Path>,
) -> Result<(), Failure> {
    let Some(output) = output else {
        let write = |chunk: &[u8]| {
            output::bytes(chunk).map_err(|error| ApiError::Local(format!("{error:#}")))
        };
        return Ok(api.file(path, query, write).await?);
    };
    let mut target = Target::prepare(output)?;
    api.file(path, query, |chunk| target.append(chunk)).await?;
    let path = target.keep()?;
    output::remark(format!("written to {}", path.display()));
    Ok(())
}

/// A balance as a person reads it.
pub(super) fn describe(balance: &Value) -> String {
    let line = |name: &str, value: String| format!("{name:<10}{value}");
    let credits = |field: &str| seconds_of(number(balance, field));
    let mut lines = vec![
        line("available", credits("available")),
        line("held", credits("held")),
    ];
    if number(balance, "debt") > 0 {
        lines.push(line("debt", credits("debt")));
    }
    let (from, to) = (text(balance, "window_start"), text(balance, "window_end"));
    let spent = format!("{} from {from} to {to}", credits("spent_in_window"));
    lines.push(line("plan", text(balance, "plan")));
    lines.push(line("spent", spent));
    for (name, field) in [("hard cap", "hard_credits"), ("soft cap", "soft_credits")] {
        let cap = &balance["cap"];
        if !cap[field].is_null() {
            lines.push(line(name, seconds_of(number(cap, field))));
        }
    }
    let has_access = balance["has_access"].as_bool().unwrap_or_default();
    let access = if has_access { "yes" } else { "no" };
    lines.push(line("access", access.to_owned()));
    if balance["frozen"] == true {
        lines.push(line("frozen", "no job is accepted".to_owned()));
    }
    let grants = balance["grants"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if !grants.is_empty() {
        lines.push(String::new());
        lines.push(grant_table(grants));
    }
    lines.join("\n")
}

fn grant_table(grants: &[Value]) -> String {
    let row = |grant: &Value| {
        let origin = text(grant, "origin").replace("GRANT_ORIGIN_", "");
        [
            origin.to_lowercase(),
            seconds_of(number(grant, "available")),
            seconds_of(number(grant, "credits")),
            text(grant, "expire_time"),
            text(grant, "note"),
        ]
    };
    let rows: Vec<_> = grants.iter().map(row).collect();
    output::table(["FROM", "LEFT", "OF", "ENDS", "NOTE"], &rows)
}

fn usage_table(usage: &Value) -> String {
    let row = |line: &Value| {
        let organisation = text(line, "organisation_id");
        let seconds = line["seconds"].as_f64().unwrap_or_default();
        [
            text(line, "day"),
            text(line, "model"),
            text(line, "user_id"),
            organisation,
            text(line, "clips"),
            format!("{seconds:.1}"),
            text(line, "credits"),
        ]
    };
    let lines = usage["usage"].as_array().into_iter().flatten();
    let mut rows: Vec<_> = lines.map(row).collect();
    let mut total: [String; 7] = Default::default();
    total[0] = "all".to_owned();
    total[6] = text(usage, "credits");
    rows.push(total);
    let header = ["DAY", "MODEL", "WHO", "FOR", "CLIPS", "SECONDS", "CREDITS"];
    output::table(header, &rows)
}

fn redeemed(redemption: &Value) -> String {
    let mut got = Vec::new();
    let credits = number(redemption, "credits");
    if credits > 0 {
        got.push(format!("{} of video", seconds_of(credits)));
    }
    if redemption["access"] == true {
        got.push("access".to_owned());
    }
    let plan = text(redemption, "plan");
    if !plan.is_empty() {
        got.push(format!("the plan {plan}"));
    }
    let campaign = text(redemption, "campaign");
    let until = match text(redemption, "expire_time") {
        none if none.is_empty() => String::new(),
        time => format!(", until {time}"),
    };
    format!("redeemed: {} ({campaign}){until}", got.join(", "))
}

fn redemption_table(redemptions: &[Value]) -> String {
    let row = |redemption: &Value| {
        let has_access = redemption["access"].as_bool().unwrap_or_default();
        [
            text(redemption, "create_time"),
            format!("..{}", text(redemption, "hint")),
            text(redemption, "campaign"),
            seconds_of(number(redemption, "credits")),
            if has_access { "yes" } else { "" }.to_owned(),
            text(redemption, "plan"),
            text(redemption, "expire_time"),
        ]
    };
    let rows: Vec<_> = redemptions.iter().map(row).collect();
    let header = [
        "REDEEMED", "CODE", "CAMPAIGN", "GAVE", "ACCESS", "PLAN", "ENDS",
    ];
    output::table(header, &rows)
}

/// A number of the contract, which JSON has as a text when it has 64 bits.
pub(super) fn number(value: &Value, field: &str) -> i64 {
    match &value[field] {
        Value::String(text) => text.parse().unwrap_or_default(),
        other => other.as_i64().unwrap_or_default(),
    }
}

/// Credits as seconds of standard video, to the thousandth where that is something.
pub(super) fn seconds_of(credits: i64) -> String {
    let sign = if credits < 0 { "-" } else { "" };
    let (whole, rest) = (credits.unsigned_abs() / 1000, credits.unsigned_abs() % 1000);
    if rest == 0 {
        return format!("{sign}{whole} s");
    }
    let digits = format!("{rest:03}");
    format!("{sign}{whole}.{} s", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_shown_as_seconds() {
        for (credits, shown) in [
            (0, "0 s"),
            (1, "0.001 s"),
            (600_000, "600 s"),
            (2125, "2.125 s"),
            (1500, "1.5 s"),
            (-1050, "-1.05 s"),
            (i64::MIN, "-9223372036854775.808 s"),
        ] {
            assert_eq!(seconds_of(credits), shown);
        }
    }

    #[test]
    fn numbers_are_read_in_both_forms() {
        let value = json!({ "text": "9007199254740993", "number": 7, "none": null, "other": "x" });
        let read = |field| number(&value, field);
        assert_eq!(read("text"), 9_007_199_254_740_993);
        assert_eq!((read("number"), read("none"), read("other")), (7, 0, 0));
        assert_eq!(read("missing"), 0);
    }

    #[test]
    fn a_balance_tells_what_matters() {
        let mut balance = json!({
            "available": "600000", "held": "2125", "debt": "0", "plan": "free",
            "window_start": "2026-11-22T00:00:00Z", "window_end": "2026-12-22T00:00:00Z",
            "spent_in_window": "2125", "cap": { "hard_credits": "5000", "soft_credits": null },
            "frozen": false, "has_access": true,
            "grants": [{
                "origin": "GRANT_ORIGIN_VOUCHER", "available": "500000", "credits": "600000",
                "expire_time": null, "note": "odyssey",
            }],
        });
        let shown = describe(&balance);
        assert!(
            shown.starts_with("available 600 s\nheld      2.125 s\nplan      free"),
            "{shown}"
        );
        assert!(
            shown.contains("hard cap  5 s") && !shown.contains("soft cap"),
            "{shown}"
        );
        assert!(shown.contains("voucher  500 s  600 s"), "{shown}");
        assert!(
            !shown.contains("debt") && !shown.contains("frozen"),
            "{shown}"
        );
        balance["debt"] = json!("1000");
        balance["frozen"] = json!(true);
        let shown = describe(&balance);
        assert!(
            shown.contains("debt      1 s") && shown.contains("no job is accepted"),
            "{shown}"
        );
    }

    #[test]
    fn usage_ends_with_its_sum() {
        let usage = json!({
            "usage": [{
                "day": "2026-11-22", "model": "m", "user_id": "u1", "organisation_id": "",
                "clips": "3", "seconds": 6.375, "credits": "6375",
            }],
            "credits": "6375",
        });
        let table = usage_table(&usage);
        assert!(table.contains("2026-11-22  m      u1"), "{table}");
        assert!(table.lines().last().unwrap().starts_with("all"), "{table}");
        assert!(table.ends_with("6375"), "{table}");
    }

    #[test]
    fn a_redemption_says_what_it_gave() {
        let redemption = json!({
            "campaign": "odyssey", "hint": "0DPH", "credits": "600000", "access": true, "plan": "",
            "create_time": "2026-11-22T12:00:00Z", "expire_time": "2027-02-01T00:00:00Z",
        });
        assert_eq!(
            redeemed(&redemption),
            "redeemed: 600 s of video, access (odyssey), until 2027-02-01T00:00:00Z"
        );
        let table = redemption_table(&[redemption]);
        assert!(table.contains("..0DPH  odyssey   600 s  yes"), "{table}");
    }
}
