//! What a worker says of itself, checked for its form.

use kinora_ids::LeaseRef;
use kinora_proto::scheduler::v1 as pb;

use super::catalogue::model_from_pb;
use super::convert::{bounded, lease_from_pb};
use crate::app::Greeting;
use crate::domain::model::Model;
use crate::error::Error;
use crate::sessions::{DeviceState, NEWEST_PROTOCOL, OLDEST_PROTOCOL};

const MAX_NAME_CHARS: usize = 128;
const MAX_VERSION_CHARS: usize = 64;
const MAX_MODELS: usize = 256;
const MAX_SLOTS: u32 = 1024;
const MAX_HELD: usize = 4096;

/// What a heartbeat says.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Leases that the worker still works on.
    pub held: Vec<LeaseRef>,
    /// Whether it takes no new ones.
    pub is_draining: bool,
    /// What its device holds, when it says so.
    pub device: Option<DeviceState>,
}

/// Reads a Hello.
pub fn greeting_from_pb(hello: pb::Hello) -> Result<Greeting, Error> {
    // Workers of the first version did not say one.
    let protocol = hello.protocol.max(OLDEST_PROTOCOL);
    if protocol > NEWEST_PROTOCOL {
        return Err(Error::VersionSkew { protocol });
    }
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
    let instance = bounded(&hello.instance, MAX_NAME_CHARS);
    let device = bounded(&hello.device, MAX_NAME_CHARS);
    let pool = bounded(&hello.pool, MAX_NAME_CHARS);
    Ok(Greeting {
        worker: hello.worker_id,
        protocol,
        instance,
        pool: if pool.is_empty() {
            device.clone()
        } else {
            pool
        },
        device_state: device_from_pb(hello.device_state.unwrap_or_default()),
        version: bounded(&hello.version, MAX_VERSION_CHARS),
        device,
        slots: hello.slots,
        models,
        held: leases_from_pb(hello.held)?,
    })
}

/// Reads a heartbeat.
pub fn beat_from_pb(heartbeat: pb::Heartbeat) -> Result<Beat, Error> {
    Ok(Beat {
        held: leases_from_pb(heartbeat.held)?,
        is_draining: heartbeat.draining,
        device: heartbeat.device_state.map(device_from_pb),
    })
}

fn device_from_pb(device: pb::DeviceState) -> DeviceState {
    let models = device.resident_models.into_iter().take(MAX_MODELS);
    DeviceState {
        memory_total_bytes: device.memory_total_bytes,
        memory_free_bytes: device.memory_free_bytes,
        resident_models: models.map(|id| bounded(&id, MAX_NAME_CHARS)).collect(),
    }
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
