//! The other services that this one calls.

use std::time::Duration;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::notice_service_client::NoticeServiceClient;
use prost_types::Timestamp;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::domain::Time;
use crate::domain::payer::Payer;
use crate::store::alerts::Untold;

/// Accounts writes rows, and answers before any mail is sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The accounts service, which knows the addresses of people and tells them by mail.
#[derive(Clone, Debug)]
pub struct Notices {
    client: NoticeServiceClient<Channel>,
}

impl Notices {
    /// Calls over `channel`.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self {
            client: NoticeServiceClient::new(channel),
        }
    }

    /// Has the payer told of an alert, whose window ends at `reset_time` if it has not ended. However often it is asked
    /// for, they are told once.
    ///
    /// # Errors
    /// [`Status`] when accounts does not answer within ten seconds, or refuses it.
    pub async fn tell(&self, untold: &Untold, reset_time: Option<Time>) -> Result<(), Status> {
        let mut request = Request::new(message_of(untold, reset_time));
        request.set_timeout(PATIENCE);
        kinora_mesh::trace::inject(request.metadata_mut());
        let mut client = self.client.clone();
        let answer = tokio::time::timeout(PATIENCE, client.send_notice(request)).await;
        let late = || Status::deadline_exceeded("accounts did not answer in time");
        answer.unwrap_or_else(|_| Err(late())).map(drop)
    }
}

fn message_of(untold: &Untold, reset_time: Option<Time>) -> pb::SendNoticeRequest {
    let recipient = match untold.payer {
        Payer::User(id) => pb::send_notice_request::Recipient::UserId(id.to_string()),
        Payer::Organisation(id) => {
            pb::send_notice_request::Recipient::OrganisationId(id.to_string())
        }
    };
    let alert = pb::SpendAlert {
        percent: untold.alert.percent,
        soft_credits: untold.alert.soft.into(),
        spent_credits: untold.alert.spent.into(),
        reset_time: reset_time.map(|time| Timestamp {
            seconds: time.timestamp(),
            nanos: 0,
        }),
    };
    pb::SendNoticeRequest {
        id: untold.id().to_string(),
        recipient: Some(recipient),
        notice: Some(pb::send_notice_request::Notice::SpendAlert(alert)),
    }
}
