//! Domain types from and to the contract.

use kinora_proto::accounts::v1 as pb;
use prost_types::Timestamp;
use tonic::Request;
use uuid::Uuid;

use crate::domain::Time;
use crate::domain::caller::{Caller, Role};
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::tokens::Tokens;
use crate::error::Error;

/// Who calls, which the layer in front of the handlers has checked.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Caller, Error> {
    let caller = kinora_access::caller(request).map_err(Error::Caller)?;
    let time = |seconds| Time::from_timestamp(seconds, 0).unwrap_or_default();
    Ok(Caller {
        id: caller.subject,
        session: caller.session,
        organisation: caller.organisation.map(|(id, role)| (id, role_of(role))),
        scopes: caller
            .scopes
            .iter()
            .map(|scope| scope.to_string())
            .collect(),
        assurance: caller.assurance,
        auth_time: time(caller.auth_time),
        is_operator: caller.is_operator,
        origin: Origin::default(),
    })
}

/// Who calls, and from where.
pub(super) fn caller_at<T>(
    request: &Request<T>,
    origin: fn(&T) -> &Option<pb::Origin>,
) -> Result<Caller, Error> {
    Ok(Caller {
        origin: origin_from_pb(origin(request.get_ref()).clone()),
        ..caller(request)?
    })
}

const fn role_of(role: kinora_access::Role) -> Role {
    match role {
        kinora_access::Role::Member => Role::Member,
        kinora_access::Role::Admin => Role::Admin,
        kinora_access::Role::Owner => Role::Owner,
    }
}

/// Where a person is.
pub(super) fn origin_from_pb(origin: Option<pb::Origin>) -> Origin {
    let origin = origin.unwrap_or_default();
    Origin::new(&origin.address, &origin.user_agent)
}

/// An id. What cannot be one names nothing.
pub(super) fn id_from_pb(text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Refusal::NotFound.into())
}

/// A point in time.
pub(super) fn time_to_pb(time: Time) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}

/// What a sign-in hands out.
pub(super) fn tokens_to_pb(tokens: Tokens) -> pb::Tokens {
    pb::Tokens {
        access_token: tokens.access,
        access_expire_time: Some(time_to_pb(tokens.access_expire)),
        refresh_token: tokens.refresh,
        refresh_expire_time: Some(time_to_pb(tokens.refresh_expire)),
        session_id: tokens.session.to_string(),
    }
}

/// An id that may be left out.
pub(super) fn optional_id_from_pb(text: &str) -> Result<Option<Uuid>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    id_from_pb(text).map(Some)
}

/// A role that is named.
pub(super) fn role_from_pb(role: i32) -> Result<Role, Error> {
    match pb::Role::try_from(role) {
        Ok(pb::Role::Member) => Ok(Role::Member),
        Ok(pb::Role::Admin) => Ok(Role::Admin),
        Ok(pb::Role::Owner) => Ok(Role::Owner),
        Ok(pb::Role::Unspecified) | Err(_) => Err(Error::Field {
            field: "role",
            problem: "is not a role",
        }),
    }
}

/// A role as the contract names it.
pub(super) const fn role_to_pb(role: Role) -> pb::Role {
    match role {
        Role::Member => pb::Role::Member,
        Role::Admin => pb::Role::Admin,
        Role::Owner => pb::Role::Owner,
    }
}

/// A point in time that a caller gave, to the microsecond.
pub(super) fn time_from_pb(time: Timestamp, field: &'static str) -> Result<Time, Error> {
    let nanos = u32::try_from(time.nanos).ok();
    let time = nanos.and_then(|nanos| Time::from_timestamp(time.seconds, nanos));
    let micros = time.and_then(|time| Time::from_timestamp_micros(time.timestamp_micros()));
    micros.ok_or(Error::Field {
        field,
        problem: "is no point in time",
    })
}
