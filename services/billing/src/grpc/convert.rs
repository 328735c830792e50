//! Domain types from and to the contract.

use kinora_proto::billing::v1 as pb;
use prost_types::Timestamp;
use tonic::Request;
use uuid::Uuid;

use crate::domain::Time;
use crate::domain::caller::Caller;
use crate::domain::credits::Credits;
use crate::domain::payer::Payer;
use crate::domain::sheet::Format;
use crate::domain::work::{Tier, Work};
use crate::error::Error;

/// Who calls, which the layer in front of the handlers has checked. An organisation that they act for pays.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Caller, Error> {
    let caller = kinora_access::caller(request).map_err(Error::Caller)?;
    let user = caller.subject;
    let (payer, may_decide) = match caller.organisation {
        Some((id, role)) => {
            let may_decide = role >= kinora_access::Role::Admin;
            (Payer::Organisation(id), may_decide)
        }
        None => (Payer::User(user), true),
    };
    Ok(Caller {
        user,
        payer,
        may_decide,
    })
}

/// An id in text form. Only the canonical form, so that one job has one spelling.
pub(super) fn id_from_pb(text: &str, field: &'static str) -> Result<Uuid, Error> {
    let id: Option<Uuid> = text.parse().ok();
    let canonical = id.filter(|id| id.to_string() == text);
    canonical.ok_or(Error::Field {
        field,
        problem: "is no UUID in text form",
    })
}

/// An id that may be left out.
pub(super) fn optional_id_from_pb(text: &str, field: &'static str) -> Result<Option<Uuid>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    id_from_pb(text, field).map(Some)
}

/// A point in time.
pub(super) fn time_to_pb(time: Time) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}

/// The years that databases, answers and people know: until the end of 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// A point in time that a caller gave, to the microsecond.
pub(super) fn time_from_pb(time: Timestamp, field: &'static str) -> Result<Time, Error> {
    let wrong = Error::Field {
        field,
        problem: "is no point in time from 1970 to 9999",
    };
    if !(0..=LAST_SECOND).contains(&time.seconds) {
        return Err(wrong);
    }
    let nanos = u32::try_from(time.nanos).ok();
    let time = nanos.and_then(|nanos| Time::from_timestamp(time.seconds, nanos));
    let micros = time.and_then(|time| Time::from_timestamp_micros(time.timestamp_micros()));
    micros.ok_or(wrong)
}

/// An amount that a caller gave. One that cannot be counted is more than any bound.
pub(super) fn credits_from_pb(credits: u64) -> Credits {
    Credits::try_from(credits).unwrap_or(Credits::MAX)
}

/// Who is named.
pub(super) fn payer_from_pb(payer: Option<pb::Payer>) -> Result<Payer, Error> {
    match payer.and_then(|payer| payer.payer) {
        Some(pb::payer::Payer::UserId(id)) => Ok(Payer::User(id_from_pb(&id, "payer.user_id")?)),
        Some(pb::payer::Payer::OrganisationId(id)) => {
            let id = id_from_pb(&id, "payer.organisation_id")?;
            Ok(Payer::Organisation(id))
        }
        None => Err(Error::Field {
            field: "payer",
            problem: "is missing",
        }),
    }
}

/// Who pays.
pub(super) fn payer_to_pb(payer: Payer) -> pb::Payer {
    let payer = match payer {
        Payer::User(id) => pb::payer::Payer::UserId(id.to_string()),
        Payer::Organisation(id) => pb::payer::Payer::OrganisationId(id.to_string()),
    };
    pb::Payer { payer: Some(payer) }
}

/// What a clip is priced by.
pub(super) fn work_from_pb(work: pb::Work) -> Result<Work, Error> {
    let tier = match pb::Tier::try_from(work.tier) {
        Ok(pb::Tier::Unspecified | pb::Tier::Standard) => Tier::Standard,
        Ok(pb::Tier::Interactive) => Tier::Interactive,
        Ok(pb::Tier::Batch) => Tier::Batch,
        Err(_) => {
            return Err(Error::Field {
                field: "work.tier",
                problem: "is no tier",
            });
        }
    };
    Ok(Work {
        model: work.model,
        width: work.width,
        height: work.height,
        frames: work.frames,
        fps: work.fps,
        steps: work.steps,
        audio: work.audio,
        tier,
    })
}

/// The form of a file.
pub(super) fn format_from_pb(format: i32) -> Result<Format, Error> {
    match pb::ExportFormat::try_from(format) {
        Ok(pb::ExportFormat::Unspecified | pb::ExportFormat::Csv) => Ok(Format::Csv),
        Ok(pb::ExportFormat::Json) => Ok(Format::Json),
        Err(_) => Err(Error::Field {
            field: "format",
            problem: "is no format",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let id = Uuid::now_v7();
        assert_eq!(id_from_pb(&id.to_string(), "job_id").unwrap(), id);
        assert_eq!(optional_id_from_pb("", "job_id").unwrap(), None);
        for text in [
            "",
            "1",
            &id.simple().to_string(),
            &id.to_string().to_uppercase(),
            &format!("{{{id}}}"),
        ] {
            assert!(id_from_pb(text, "job_id").is_err(), "{text}");
        }
    }

    #[test]
    fn times_outside_of_the_calendar_are_refused() {
        let time = |seconds, nanos| time_from_pb(Timestamp { seconds, nanos }, "end_time");
        assert_eq!(time(0, 0).unwrap(), Time::UNIX_EPOCH);
        assert!(time(LAST_SECOND, 999_999_999).is_ok());
        let odd = [
            (-1, 0),
            (LAST_SECOND + 1, 0),
            (i64::MAX, 0),
            (0, -1),
            (0, i32::MAX),
        ];
        for (seconds, nanos) in odd {
            assert!(time(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }
}
