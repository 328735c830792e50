//! `kinora admin vouchers`.

mod codes;

use reqwest::Method;
use serde_json::{Value, json};

use super::accounts::text;
use super::credits::{number, seconds_of, write_file};
use crate::arguments::billing::{
    CreateCampaignArguments, DisableArguments, ExportArguments, VouchersCommand,
};
use crate::client::{Api, ApiError};
use crate::exit::Failure;
use crate::output::{self, show};
use crate::progress::Display;
use codes::Codes;

const CAMPAIGNS: [&str; 3] = ["v1", "admin", "campaigns"];

/// Fewer codes are there before anybody has read that they are made.
const WORTH_A_WORD: u32 = 1000;

/// Runs `kinora admin vouchers`.
pub(super) async fn run(api: &Api, command: VouchersCommand, json: bool) -> Result<(), Failure> {
    match command {
        VouchersCommand::Create(arguments) => create(api, &arguments, json).await,
        VouchersCommand::List { campaign, limit } => list(api, &campaign, limit, json).await,
        VouchersCommand::Campaigns => {
            let mut answer = api.call(Method::GET, &CAMPAIGNS, &[], None).await?;
            let campaigns = answer["campaigns"].take();
            let rows = campaigns.as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(show(json, &campaigns, || campaign_table(rows))?)
        }
        VouchersCommand::Disable(arguments) => disable(api, &arguments, json).await,
        VouchersCommand::Export(arguments) => export(api, &arguments).await,
    }
}

async fn create(api: &Api, arguments: &CreateCampaignArguments, json: bool) -> Result<(), Failure> {
    let mut codes = Codes::to(arguments.output.as_deref(), json)?;
    let display = announce(arguments);
    let mut campaign = Value::Null;
    let body = body_of(arguments);
    let arrived = api.post_for_lines(&CAMPAIGNS, &body, |mut answer| {
        if !answer["campaign"].is_null() {
            campaign = answer["campaign"].take();
        }
        codes.take(&answer, &campaign)
    });
    let arrived = arrived.await;
    if let Some(display) = display {
        display.clear();
    }
    let (made, wanted) = (codes.number, u64::from(arguments.count));
    let complete = arrived.and_then(|()| {
        let is_complete = made == wanted;
        let early = || ApiError::Protocol("it ended early".to_owned());
        is_complete.then_some(()).ok_or_else(early)
    });
    if let Err(error) = complete {
        codes.abandon();
        return Err(broken_off(error, made, arguments));
    }
    codes.finish(&campaign)?;
    output::remark(summary(&campaign));
    Ok(())
}

/// Says that codes are made, where that takes a while.
fn announce(arguments: &CreateCampaignArguments) -> Option<Display> {
    if arguments.count < WORTH_A_WORD {
        return None;
    }
    let mut display = Display::new(false);
    display.say(&format!("making {} codes", arguments.count));
    Some(display)
}

fn body_of(arguments: &CreateCampaignArguments) -> Value {
    json!({
        "name": arguments.campaign,
        "count": arguments.count,
        "credits": arguments.credits().to_string(),
        "access": arguments.access,
        "plan": arguments.plan.as_deref().unwrap_or_default(),
        "max_uses": arguments.max_uses,
        "per_user": arguments.per_user,
        "start_time": arguments.starts,
        "expire_time": arguments.expires,
        "grant_expire_time": arguments.grants_expire,
        "notes": arguments.notes,
    })
}

/// What is lost when codes were made and have not arrived.
fn broken_off(error: ApiError, number: u64, arguments: &CreateCampaignArguments) -> Failure {
    let may_be_made = match &error {
        ApiError::Unreachable { is_sent, .. } => *is_sent,
        ApiError::Protocol(_) | ApiError::Local(_) => true,
        ApiError::Refused(problem) => problem.status >= 500,
    };
    let mut failure = Failure::from(error);
    if may_be_made {
        let name = &arguments.campaign;
        failure.error = failure.error.context(format!(
            "{number} of {} codes arrived, and the others cannot be had again; end the campaign, if it was made, with \
             `kinora admin vouchers disable --campaign {name}`, and make another one",
            arguments.count
        ));
    }
    failure
}

fn summary(campaign: &Value) -> String {
    let mut gives = Vec::new();
    let credits = number(campaign, "credits");
    if credits > 0 {
        gives.push(format!("{} ({credits} credits)", seconds_of(credits)));
    }
    if campaign["access"] == true {
        gives.push("access".to_owned());
    }
    let plan = text(campaign, "plan");
    if !plan.is_empty() {
        gives.push(format!("plan {plan}"));
    }
    let until = match text(campaign, "expire_time") {
        none if none.is_empty() => "for ever".to_owned(),
        time => format!("until {time}"),
    };
    format!(
        "{} codes of {}, each for {}, good {until}. They are not shown again.",
        text(campaign, "count"),
        text(campaign, "name"),
        gives.join(", "),
    )
}

async fn list(api: &Api, campaign: &str, limit: usize, json: bool) -> Result<(), Failure> {
    let path = [
        CAMPAIGNS[0],
        CAMPAIGNS[1],
        CAMPAIGNS[2],
        campaign,
        "vouchers",
    ];
    let vouchers = api.listed(&path, &[], "vouchers", limit).await?;
    Ok(show(json, &vouchers, || voucher_table(&vouchers))?)
}

async fn disable(api: &Api, arguments: &DisableArguments, json: bool) -> Result<(), Failure> {
    let (kind, name) = match (&arguments.campaign, &arguments.voucher) {
        (Some(campaign), _) => ("campaigns", campaign),
        (None, Some(voucher)) => ("vouchers", voucher),
        (None, None) => return Err(Failure::usage("say which: --campaign or --voucher")),
    };
    let target = format!("{name}:disable");
    let body = json!({ "claw_back": arguments.claw_back });
    let path = ["v1", "admin", kind, &target];
    let answer = api.call(Method::POST, &path, &[], Some(body)).await?;
    Ok(show(json, &answer, || {
        let credits = number(&answer, "clawed_back");
        if arguments.claw_back {
            format!(
                "{name} is disabled, and {} were taken back",
                seconds_of(credits)
            )
        } else {
            format!("{name} is disabled")
        }
    })?)
}

async fn export(api: &Api, arguments: &ExportArguments) -> Result<(), Failure> {
    let path = ["v1", "admin", "redemptions:export"];
    let mut query = vec![
        ("campaign", arguments.campaign.as_str()),
        ("format", arguments.format.name()),
    ];
    query.retain(|(_, value)| !value.is_empty());
    write_file(api, &path, &query, arguments.output.as_deref()).await
}

fn campaign_table(campaigns: &[Value]) -> String {
    let row = |campaign: &Value| {
        let state = match campaign["disable_time"].as_str() {
            Some(time) => format!("disabled {time}"),
            None => match campaign["expire_time"].as_str() {
                Some(time) => format!("until {time}"),
                None => String::new(),
            },
        };
        let access = campaign["access"].as_bool().unwrap_or_default();
        [
            text(campaign, "name"),
            text(campaign, "count"),
            text(campaign, "max_uses"),
            text(campaign, "redemptions"),
            seconds_of(number(campaign, "credits")),
            if access { "yes" } else { "" }.to_owned(),
            text(campaign, "plan"),
            state,
        ]
    };
    let rows: Vec<_> = campaigns.iter().map(row).collect();
    let header = [
        "CAMPAIGN",
        "CODES",
        "USES EACH",
        "REDEEMED",
        "GIVES",
        "ACCESS",
        "PLAN",
        "",
    ];
    output::table(header, &rows)
}

fn voucher_table(vouchers: &[Value]) -> String {
    let row = |voucher: &Value| {
        let state = match voucher["disable_time"].as_str() {
            Some(time) => format!("disabled {time}"),
            None => String::new(),
        };
        [
            text(voucher, "id"),
            format!("..{}", text(voucher, "hint")),
            format!("{}/{}", text(voucher, "uses"), text(voucher, "max_uses")),
            text(voucher, "last_use_time"),
            state,
        ]
    };
    let rows: Vec<_> = vouchers.iter().map(row).collect();
    output::table(["ID", "CODE", "USES", "LAST REDEEMED", ""], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign() -> Value {
        json!({
            "name": "odyssey", "count": 2, "credits": "600000", "access": true, "plan": "",
            "max_uses": 1, "per_user": 1, "expire_time": "2027-02-01T00:00:00Z",
            "disable_time": null, "redemptions": "7",
        })
    }

    #[test]
    fn the_summary_says_what_codes_are_good_for() {
        let said = summary(&campaign());
        assert_eq!(
            said,
            "2 codes of odyssey, each for 600 s (600000 credits), access, good until 2027-02-01T00:00:00Z. \
             They are not shown again."
        );
        let mut plan = campaign();
        plan["credits"] = json!("0");
        plan["plan"] = json!("studio");
        plan["expire_time"] = Value::Null;
        assert!(summary(&plan).contains("each for access, plan studio, good for ever"));
    }

    #[test]
    fn tables_show_what_became_of_codes() {
        let table = campaign_table(&[campaign()]);
        assert!(
            table.contains("odyssey   2      1          7         600 s  yes"),
            "{table}"
        );
        let voucher = json!({
            "id": "v1", "hint": "0DPH", "uses": 1, "max_uses": 10,
            "disable_time": "2026-11-22T00:00:00Z", "last_use_time": null,
        });
        let table = voucher_table(&[voucher]);
        assert!(table.contains("v1  ..0DPH  1/10"), "{table}");
        assert!(table.ends_with("disabled 2026-11-22T00:00:00Z"), "{table}");
    }
}
