//! Redemptions as a file.

use chrono::SecondsFormat;
use futures::{StreamExt, stream};
use kinora_proto::billing::v1 as pb;
use serde::Serialize;
use tonic::{Request, Response, Status};

use super::ServerStream;
use super::convert::{caller, format_from_pb};
use crate::app::App;
use crate::domain::Time;
use crate::domain::sheet::{self, Row};
use crate::store::entity::vouchers::redemption;

/// What a person got for a code, as it stands in a file.
#[derive(Serialize)]
struct Line {
    time: String,
    campaign: String,
    hint: String,
    user_id: String,
    payer: String,
    credits: i64,
    access: bool,
    plan: String,
    expire_time: String,
    claw_back_time: String,
    clawed_back: i64,
}

impl Row for Line {
    const HEADING: &'static [&'static str] = &[
        "time",
        "campaign",
        "hint",
        "user_id",
        "payer",
        "credits",
        "access",
        "plan",
        "expire_time",
        "claw_back_time",
        "clawed_back",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.time.clone(),
            self.campaign.clone(),
            self.hint.clone(),
            self.user_id.clone(),
            self.payer.clone(),
            self.credits.to_string(),
            self.access.to_string(),
            self.plan.clone(),
            self.expire_time.clone(),
            self.claw_back_time.clone(),
            self.clawed_back.to_string(),
        ]
    }
}

impl From<redemption::Model> for Line {
    fn from(row: redemption::Model) -> Self {
        Self {
            time: text_of(Some(row.create_time)),
            campaign: row.campaign,
            hint: row.hint,
            user_id: row.user_id.to_string(),
            payer: row.payer,
            credits: row.credits,
            access: row.access,
            plan: row.plan,
            expire_time: text_of(row.expire_time),
            claw_back_time: text_of(row.claw_back_time),
            clawed_back: row.clawed_back,
        }
    }
}

pub(super) async fn export_redemptions(
    app: &App,
    request: Request<pb::ExportRedemptionsRequest>,
) -> Result<Response<ServerStream<pb::ExportRedemptionsResponse>>, Status> {
    let operator = caller(&request)?.user;
    let message = request.into_inner();
    let format = format_from_pb(message.format)?;
    let pages = app.export_redemptions(operator, &message.campaign).await?;
    // An empty file of CSV has its heading, too.
    let heading = sheet::write::<Line>(&[], format, true)?;
    let heading = stream::iter([Ok(chunk(heading))]);
    let pages = pages.map(move |page| {
        let lines: Vec<Line> = page?.into_iter().map(Line::from).collect();
        Ok::<_, Status>(chunk(sheet::write(&lines, format, false)?))
    });
    Ok(Response::new(Box::pin(heading.chain(pages))))
}

const fn chunk(chunk: Vec<u8>) -> pb::ExportRedemptionsResponse {
    pb::ExportRedemptionsResponse { chunk }
}

/// Empty for never.
fn text_of(time: Option<Time>) -> String {
    let text = |time: Time| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    time.map(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::sheet::Format;

    fn redemption() -> redemption::Model {
        redemption::Model {
            id: Uuid::nil(),
            voucher_id: Uuid::nil(),
            user_id: Uuid::from_u128(7),
            ordinal: 1,
            campaign: "-odyssey".to_owned(),
            hint: "0DPH".to_owned(),
            payer: format!("user:{}", Uuid::from_u128(7)),
            grant_id: None,
            credits: 600_000,
            access: true,
            plan: String::new(),
            create_time: "2026-11-22T12:00:00Z".parse().unwrap(),
            expire_time: None,
            claw_back_time: None,
            clawed_back: 0,
        }
    }

    #[test]
    fn a_line_has_a_cell_for_each_heading_and_computes_nothing() {
        let line = Line::from(redemption());
        assert_eq!(line.cells().len(), Line::HEADING.len());
        let file = sheet::write(&[line], Format::Csv, false).unwrap();
        let user = "00000000-0000-0000-0000-000000000007";
        let expected =
            format!("2026-11-22T12:00:00Z,'-odyssey,0DPH,{user},user:{user},600000,true,,,,0\r\n");
        assert_eq!(String::from_utf8(file).unwrap(), expected);
    }

    #[test]
    fn a_page_fits_into_a_message() {
        let long = redemption::Model {
            campaign: "x".repeat(64),
            plan: "x".repeat(64),
            ..redemption()
        };
        let lines: Vec<Line> = (0..100).map(|_| Line::from(long.clone())).collect();
        for format in [Format::Csv, Format::Json] {
            assert!(sheet::write(&lines, format, true).unwrap().len() <= 64 << 10);
        }
    }
}
