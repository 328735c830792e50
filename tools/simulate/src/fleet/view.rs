//! The fleet as the dispatch loop sees it.

use std::sync::Arc;

use kinora_ids::LeaseRef;
use kinora_scheduler::dispatch::Fleet;
use kinora_scheduler::domain::job::Job;
use kinora_scheduler::policy::{Running, WorkerView};
use uuid::Uuid;

use super::{FakeFleet, Order, State};

impl FakeFleet {
    fn view(&self, state: &State, at: usize) -> WorkerView {
        let worker = &state.workers[at];
        let running = worker.attempt.as_ref().map(|attempt| Running {
            lease: attempt.lease,
            model: attempt.model.clone(),
            priority: attempt.class,
            started: attempt.started,
            // One that was called back is as good as done.
            fraction: if attempt.is_called_back {
                1.0
            } else {
                attempt.fraction(state.now)
            },
            preemptions: attempt.preemptions,
        });
        let resident = worker.resident.filter(|_| self.is_affine);
        let resident = resident.map(|model| self.models[model].name.clone());
        WorkerView {
            worker: worker.name.clone(),
            session: Uuid::from_u128(worker.session),
            free_slots: u32::from(running.is_none()),
            models: Arc::clone(&worker.models),
            resident: resident.into_iter().collect(),
            memory_bytes: Some(worker.memory),
            can_stitch: false,
            running: running.into_iter().collect(),
        }
    }
}

impl Fleet for FakeFleet {
    fn idle(&self) -> Vec<WorkerView> {
        let state = self.state.lock();
        let idle = state.idle.iter();
        idle.map(|at| self.view(&state, *at)).collect()
    }

    fn busy(&self) -> Vec<WorkerView> {
        let state = self.state.lock();
        let all = 0..state.workers.len();
        all.filter(|at| state.workers[*at].attempt.is_some())
            .map(|at| self.view(&state, at))
            .collect()
    }

    fn grant(&self, worker: &str, session: Uuid, job: Job) {
        let at = {
            let state = self.state.lock();
            let at = state.by_name.get(worker).copied();
            at.filter(|at| state.workers[*at].session == session.as_u128())
        };
        if let Some(at) = at {
            self.begin(at, &job);
        }
    }

    /// A failed round ends the simulation, so that nobody is left to attach again.
    fn attach_again(&self, _worker: &str, _session: Uuid) {}

    fn preempt(&self, lease: LeaseRef) {
        let mut state = self.state.lock();
        let Some(&worker) = state.by_lease.get(&lease) else {
            return;
        };
        if let Some(attempt) = &mut state.workers[worker].attempt {
            attempt.is_called_back = true;
        }
        state.orders.push(Order::Preempted { worker, lease });
    }
}
