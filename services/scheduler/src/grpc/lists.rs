//! What a list of videos is to show, proto to domain, checked for its form.

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status;

use super::convert::time_from_pb;
use super::submissions::{beside, given};
use crate::app::VideoQuery;
use crate::domain::job::{State, Time};
use crate::domain::listing::{Filter, Order, Words};
use crate::error::Error;

const MAX_QUERY_CHARS: usize = 200;

/// Reads what a list is to show.
pub fn query_from_pb(request: pb::ListVideosRequest) -> Result<VideoQuery, Error> {
    let page_size = match (request.page_size, request.limit) {
        (size, 0) => size,
        (0, limit) => limit,
        (size, limit) if size == limit => size,
        _ => {
            return Err(beside(
                "limit",
                "stands beside `page_size`, and differs from it",
            ));
        }
    };
    if !request.after.is_empty() && !request.page_token.is_empty() {
        return Err(beside("after", "stands beside `page_token`"));
    }
    let order = order_from_pb(request.order)?;
    let filter = Filter {
        states: states_from_pb(&request.status)?,
        model: request.model,
        words: words_from_pb(&request.query)?,
        created_after: bound_from_pb("created_after", request.created_after)?,
        created_before: bound_from_pb("created_before", request.created_before)?,
    };
    let after = given(request.after).map(|id| id.parse().map_err(|_| Error::AfterUnknown));
    Ok(VideoQuery {
        filter,
        order,
        page_size,
        page_token: request.page_token,
        after: after.transpose()?,
    })
}

fn order_from_pb(order: i32) -> Result<Order, Error> {
    match pb::Order::try_from(order) {
        Ok(pb::Order::Unspecified | pb::Order::Desc) => Ok(Order::NewestFirst),
        Ok(pb::Order::Asc) => Ok(Order::OldestFirst),
        Err(_) => Err(Error::Field {
            reason: "ORDER_INVALID",
            field: "order",
            problem: "is none that there is",
        }),
    }
}

fn words_from_pb(query: &str) -> Result<Words, Error> {
    if query.chars().count() > MAX_QUERY_CHARS {
        return Err(Error::Field {
            reason: "SEARCH_INVALID",
            field: "query",
            problem: "is longer than 200 characters",
        });
    }
    Ok(Words::of(query))
}

fn bound_from_pb(
    field: &'static str,
    time: Option<prost_types::Timestamp>,
) -> Result<Option<Time>, Error> {
    let invalid = Error::Field {
        reason: "TIME_INVALID",
        field,
        problem: "is no time",
    };
    time.map(|time| time_from_pb(time).ok_or(invalid))
        .transpose()
}

/// Reads the statuses that a list is limited to.
fn states_from_pb(statuses: &[i32]) -> Result<Vec<State>, Error> {
    let read = |status: &i32| match Status::try_from(*status) {
        Ok(Status::AwaitingApproval) => Ok(State::AwaitingApproval),
        Ok(Status::Queued) => Ok(State::Queued),
        Ok(Status::InProgress) => Ok(State::Running),
        Ok(Status::Completed) => Ok(State::Completed),
        Ok(Status::Failed) => Ok(State::Failed),
        Ok(Status::Cancelled) => Ok(State::Cancelled),
        Ok(Status::Expired) => Ok(State::Expired),
        Ok(Status::Unspecified) | Err(_) => Err(Error::Field {
            reason: "STATUS_INVALID",
            field: "status",
            problem: "names a status that there is not",
        }),
    };
    statuses.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use kinora_ids::JobId;

    use super::*;
    use crate::grpc::submissions::tests::refuses;

    fn listed(id: JobId) -> pb::ListVideosRequest {
        pb::ListVideosRequest {
            limit: 5,
            after: id.to_string(),
            order: pb::Order::Asc.into(),
            status: vec![Status::InProgress.into()],
            model: "tiny".to_owned(),
            query: "Red  ball".to_owned(),
            created_after: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 1,
            }),
            ..pb::ListVideosRequest::default()
        }
    }

    #[test]
    fn a_list_is_asked_for_in_the_words_of_two_apis() {
        let id = JobId::generate();
        let query = query_from_pb(listed(id)).expect("reads");
        let expected = VideoQuery {
            filter: Filter {
                states: vec![State::Running],
                model: "tiny".to_owned(),
                words: Words::of("red ball"),
                created_after: Time::from_timestamp(1, 1),
                created_before: None,
            },
            order: Order::OldestFirst,
            page_size: 5,
            page_token: String::new(),
            after: Some(id),
        };
        assert_eq!(query, expected);
        let plain = query_from_pb(pb::ListVideosRequest::default());
        assert_eq!(plain.expect("reads"), VideoQuery::default());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_field() {
        let change = |change: fn(&mut pb::ListVideosRequest)| {
            let mut changed = listed(JobId::generate());
            change(&mut changed);
            query_from_pb(changed)
        };
        assert!(change(|it| it.page_size = 5).is_ok(), "they say the same");
        assert!(change(|it| it.query = "é".repeat(200)).is_ok());
        let conflict = change(|it| it.page_size = 6);
        refuses(conflict, "FIELDS_CONFLICT", "limit");
        let conflict = change(|it| it.page_token = "x".to_owned());
        refuses(conflict, "FIELDS_CONFLICT", "after");
        let unknown = change(|it| it.after = "x".to_owned());
        refuses(unknown, "AFTER_UNKNOWN", "after");
        refuses(change(|it| it.order = 3), "ORDER_INVALID", "order");
        refuses(
            change(|it| it.status = vec![99]),
            "STATUS_INVALID",
            "status",
        );
        let long = change(|it| it.query = "x".repeat(201));
        refuses(long, "SEARCH_INVALID", "query");
        let beyond = prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        };
        let before = query_from_pb(pb::ListVideosRequest {
            created_before: Some(beyond),
            ..pb::ListVideosRequest::default()
        });
        refuses(before, "TIME_INVALID", "created_before");
    }
}
