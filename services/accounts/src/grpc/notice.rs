//! Answers services that have something to tell people.

use std::sync::Arc;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::notice_service_server::NoticeService;
use kinora_proto::accounts::v1::send_notice_request::{Notice, Recipient};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::time_from_pb;
use crate::app::App;
use crate::app::service_notices as app;
use crate::error::Error;

/// Answers services that have something to tell people.
pub struct NoticeGrpc {
    app: Arc<App>,
}

impl NoticeGrpc {
    /// Answers with the use cases of `app`.
    pub const fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl NoticeService for NoticeGrpc {
    async fn send_notice(
        &self,
        request: Request<pb::SendNoticeRequest>,
    ) -> Result<Response<pb::SendNoticeResponse>, Status> {
        let message = request.into_inner();
        let id = id_from_pb(&message.id, "id")?;
        let recipient = recipient_from_pb(message.recipient)?;
        let Some(Notice::SpendAlert(alert)) = message.notice else {
            return Err(wrong("notice", "is missing").into());
        };
        let alert = alert_from_pb(alert)?;
        self.app.send_spend_alert(id, recipient, &alert).await?;
        Ok(Response::new(pb::SendNoticeResponse {}))
    }
}

/// What cannot be an id is a mistake of the service that asks, and no person who is not there.
fn id_from_pb(text: &str, field: &'static str) -> Result<Uuid, Error> {
    let id = text.parse();
    id.map_err(|_| wrong(field, "is no UUID in text form"))
}

fn recipient_from_pb(recipient: Option<Recipient>) -> Result<app::Recipient, Error> {
    match recipient {
        Some(Recipient::UserId(id)) => {
            let id = id_from_pb(&id, "recipient.user_id")?;
            Ok(app::Recipient::User(id))
        }
        Some(Recipient::OrganisationId(id)) => {
            let id = id_from_pb(&id, "recipient.organisation_id")?;
            Ok(app::Recipient::Organisation(id))
        }
        None => Err(wrong("recipient", "is missing")),
    }
}

fn alert_from_pb(alert: pb::SpendAlert) -> Result<app::SpendAlert, Error> {
    if !(1..=100).contains(&alert.percent) {
        return Err(wrong("spend_alert.percent", "is from 1 to 100"));
    }
    if alert.soft_credits == 0 {
        return Err(wrong("spend_alert.soft_credits", "is at least 1"));
    }
    let reset_time = alert.reset_time;
    let reset_time = reset_time.map(|time| time_from_pb(time, "spend_alert.reset_time"));
    Ok(app::SpendAlert {
        percent: alert.percent,
        soft_credits: alert.soft_credits,
        spent_credits: alert.spent_credits,
        reset_time: reset_time.transpose()?,
    })
}

const fn wrong(field: &'static str, problem: &'static str) -> Error {
    Error::Field { field, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: pb::SpendAlert = pb::SpendAlert {
        percent: 80,
        soft_credits: 5000,
        spent_credits: 4000,
        reset_time: None,
    };

    #[track_caller]
    fn refused<T>(result: Result<T, Error>, expected: &str) {
        match result {
            Err(Error::Field { field, .. }) => assert_eq!(field, expected),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was taken"),
        }
    }

    #[test]
    fn notice_that_says_nothing_is_refused() {
        for percent in [0, 101, u32::MAX] {
            refused(
                alert_from_pb(pb::SpendAlert { percent, ..ALERT }),
                "spend_alert.percent",
            );
        }
        let soft_credits = 0;
        refused(
            alert_from_pb(pb::SpendAlert {
                soft_credits,
                ..ALERT
            }),
            "spend_alert.soft_credits",
        );
        let reset_time = Some(prost_types::Timestamp {
            seconds: 0,
            nanos: -1,
        });
        refused(
            alert_from_pb(pb::SpendAlert {
                reset_time,
                ..ALERT
            }),
            "spend_alert.reset_time",
        );
        assert_eq!(alert_from_pb(ALERT).unwrap().percent, 80);
    }

    #[test]
    fn recipient_that_cannot_be_one_is_refused() {
        refused(recipient_from_pb(None), "recipient");
        let user = Recipient::UserId("anna".to_owned());
        refused(recipient_from_pb(Some(user)), "recipient.user_id");
        let organisation = Recipient::OrganisationId(String::new());
        refused(
            recipient_from_pb(Some(organisation)),
            "recipient.organisation_id",
        );
    }
}
