//! What a worker says of itself, checked for its form.

use kinora_ids::LeaseRef;
use kinora_proto::scheduler::v1 as pb;

use super::convert::{bounded, lease_from_pb, model_from_pb};
use crate::app::Greeting;
use crate::domain::model::Model;
use crate::error::Error;

const MAX_NAME_CHARS: usize = 128;
const MAX_VERSION_CHARS: usize = 64;
const MAX_MODELS: usize = 256;
const MAX_SLOTS: u32 = 1024;
const MAX_HELD: usize = 4096;

/// Reads a Hello.
pub fn greeting_from_pb(hello: pb::Hello) -> Result<Greeting, Error> {
    let id_chars = hello.worker_id.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&id_chars) || hello.worker_id.chars().any(char::is_control) {
        return Err(invalid("hello.worker_id", "must have 1 to 128 characters"));
    }
    if hello.slots > MAX_SLOTS {
        return Err(invalid("hello.slots", "may be at most 1024"));
    }
    if hello.models.len() > MAX_MODELS {
        return Err(invalid("hello.models", "may be at most 256"));
    }
    let models: Vec<Model> = hello.models.into_iter().map(model_from_pb).collect();
    for model in &models {
        model.check()?;
    }
    Ok(Greeting {
        worker: hello.worker_id,
        version: bounded(&hello.version, MAX_VERSION_CHARS),
        device: bounded(&hello.device, MAX_NAME_CHARS),
        slots: hello.slots,
        models,
        held: leases_from_pb(hello.held)?,
    })
}

/// Reads a list of leases.
pub fn leases_from_pb(leases: Vec<pb::LeaseRef>) -> Result<Vec<LeaseRef>, Error> {
    if leases.len() > MAX_HELD {
        return Err(invalid("held", "may be at most 4096"));
    }
    leases
        .into_iter()
        .map(|lease| lease_from_pb(Some(lease)))
        .collect()
}

const fn invalid(field: &'static str, problem: &'static str) -> Error {
    Error::WorkerMessage { field, problem }
}
