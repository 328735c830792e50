//! What the worker says of itself.

use kinora_proto::scheduler::v1 as pb;

use super::Agent;
use crate::convert::{card_to_pb, lease_to_pb};

/// The version of the contract that this worker speaks.
pub(super) const PROTOCOL: u32 = 2;

impl Agent {
    pub(super) fn hello(&self) -> pb::Hello {
        let forecasts = &self.bench.forecasts;
        let models = self.bench.cards.values().map(|card| {
            let forecast = forecasts.get(&card.id);
            card_to_pb(card, forecast.map(|forecast| forecast.need))
        });
        pb::Hello {
            worker_id: self.identity.worker_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: self.identity.device.clone(),
            models: models.collect(),
            slots: if self.drain.is_some() {
                0
            } else {
                self.identity.slots
            },
            held: self.held_leases(),
            protocol: PROTOCOL,
            instance: self.identity.instance.clone(),
            pool: self.identity.pool.clone(),
            device_state: Some(self.device_state()),
        }
    }

    pub(super) fn heartbeat(&self) -> pb::attach_request::Message {
        pb::attach_request::Message::Heartbeat(pb::Heartbeat {
            held: self.held_leases(),
            draining: self.drain.is_some(),
            device_state: Some(self.device_state()),
        })
    }

    /// Free is what requests may take, not what is unused: the weights that are there make room for others, and the
    /// engine refuses what is beyond its limit.
    fn device_state(&self) -> pb::DeviceState {
        let limits = self.bench.forecasts.values().map(|it| it.limit_bytes);
        let free = limits.min().flatten().unwrap_or_default();
        pb::DeviceState {
            memory_total_bytes: self.bench.memory_total_bytes,
            memory_free_bytes: free,
            resident_models: self.bench.engine.residents(),
        }
    }

    fn held_leases(&self) -> Vec<pb::LeaseRef> {
        let standing = self.held.iter().filter(|(_, held)| !held.is_revoked);
        standing.map(|(lease, _)| lease_to_pb(*lease)).collect()
    }
}
