//! What strikes: picks a process, does it harm, and brings it back.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};

use super::member::Member;
use super::mesh::ChaosMesh;
use super::postgres::Shutdown;

/// How long a process may take to end when it was asked to: the drain of ten seconds, and some.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between looks at what is due.
const TICK: Duration = Duration::from_millis(10);

/// What is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A worker.
    Worker,
    /// A scheduler.
    Scheduler,
    /// The edge.
    Edge,
    /// The billing service.
    Billing,
    /// The object store.
    Store,
    /// A process of the database that serves one connection; a kill makes the whole server recover.
    Backend,
    /// The database server.
    Database,
}

/// How it is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// At once, as by a power cut.
    Kill,
    /// Stopped in its tracks for a while, often past its lease, then let go on.
    Freeze,
    /// Asked to end.
    Terminate,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
            Self::Edge => "edge",
            Self::Billing => "billing",
            Self::Store => "object store",
            Self::Backend => "connection of PostgreSQL",
            Self::Database => "PostgreSQL",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "SIGKILL",
            Self::Freeze => "SIGSTOP, later SIGCONT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// A process that is not up.
enum Trouble {
    Down { until: Instant },
    Frozen { until: Instant },
    Ending { since: Instant },
}

/// Strikes at random.
pub(super) struct Killer {
    rng: StdRng,
    pace: Duration,
    next: Instant,
    troubles: HashMap<(Role, usize), Trouble>,
    frozen_backends: Vec<(Pid, Instant)>,
    renamed: u32,
    /// Faults so far.
    pub(super) counts: BTreeMap<(Role, Kind), u32>,
    /// When workers were killed or frozen, by name, in micro-seconds since 1970.
    pub(super) worker_faults: HashMap<String, Vec<u64>>,
    /// Processes that had to be killed because they did not end.
    pub(super) deaf: u32,
}

impl Killer {
    /// Strikes once in `pace` on average.
    pub(super) fn new(seed: u64, pace: Duration) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            pace,
            next: Instant::now(),
            troubles: HashMap::new(),
            frozen_backends: Vec::new(),
            renamed: 0,
            counts: BTreeMap::new(),
            worker_faults: HashMap::new(),
            deaf: 0,
        }
    }

    /// Faults so far.
    pub(super) fn struck(&self) -> u32 {
        self.counts.values().sum()
    }

    /// Brings back what is due, and strikes when it is time.
    pub(super) async fn turn(&mut self, mesh: &mut ChaosMesh) {
        self.bring_back(mesh, Instant::now());
        if Instant::now() >= self.next {
            let factor = self.rng.random_range(0.2..1.8);
            self.next = Instant::now() + self.pace.mul_f64(factor);
            self.strike(mesh).await;
        }
        tokio::time::sleep(TICK).await;
    }

    /// Brings everything back.
    pub(super) async fn make_whole(&mut self, mesh: &mut ChaosMesh) {
        for trouble in self.troubles.values_mut() {
            if let Trouble::Down { until } | Trouble::Frozen { until } = trouble {
                *until = Instant::now();
            }
        }
        for (_, until) in &mut self.frozen_backends {
            *until = Instant::now();
        }
        while !self.troubles.is_empty() || !self.frozen_backends.is_empty() {
            self.bring_back(mesh, Instant::now());
            tokio::time::sleep(TICK).await;
        }
    }

    fn bring_back(&mut self, mesh: &mut ChaosMesh, now: Instant) {
        for (pid, _) in self
            .frozen_backends
            .extract_if(.., |(_, until)| *until <= now)
        {
            // It may have been killed meanwhile.
            let _ = kill_process(pid, Signal::CONT);
        }
        let deaf = &mut self.deaf;
        self.troubles.retain(|(role, index), trouble| {
            let member = member(mesh, *role, *index);
            match trouble {
                Trouble::Down { until } if *until <= now => member.restart(),
                Trouble::Frozen { until } if *until <= now => member.thaw(),
                Trouble::Ending { .. } if !member.is_running() => member.restart(),
                Trouble::Ending { since } if *since + PATIENCE < now => {
                    *deaf += 1;
                    member.restart();
                }
                _ => return true,
            }
            false
        });
    }

    async fn strike(&mut self, mesh: &mut ChaosMesh) {
        let role = match self.rng.random_range(0..100) {
            0..53 => Role::Worker,
            53..71 => Role::Scheduler,
            71..78 => Role::Edge,
            78..88 => Role::Billing,
            88..92 => Role::Store,
            92..99 => Role::Backend,
            _ => Role::Database,
        };
        let kind = match self.rng.random_range(0..4) {
            0 | 1 => Kind::Kill,
            2 => Kind::Freeze,
            _ => Kind::Terminate,
        };
        let is_done = match role {
            Role::Database => self.strike_database(mesh, kind).await,
            Role::Backend => self.strike_backend(mesh, kind).await,
            _ => self.strike_member(mesh, role, kind),
        };
        if is_done {
            *self.counts.entry((role, kind)).or_default() += 1;
        }
    }

    fn strike_member(&mut self, mesh: &mut ChaosMesh, role: Role, kind: Kind) -> bool {
        let count = match role {
            Role::Worker => mesh.workers.len(),
            Role::Scheduler => mesh.schedulers.len(),
            _ => 1,
        };
        let index = self.rng.random_range(0..count);
        let ttl = mesh.options().worker_ttl;
        // Half of them past the lease.
        let frozen = ttl.mul_f64(self.rng.random_range(0.1..2.0));
        let down = Duration::from_millis(self.rng.random_range(0..300));
        let is_replaced = self.rng.random_ratio(1, 2);
        if self.troubles.contains_key(&(role, index)) {
            return false;
        }
        let now = Instant::now();
        let member = member(mesh, role, index);
        if role == Role::Worker && kind != Kind::Terminate {
            let faults = self.worker_faults.entry(member.name.clone());
            faults.or_default().push(since_epoch());
        }
        let trouble = match kind {
            Kind::Kill => {
                member.kill();
                Trouble::Down { until: now + down }
            }
            Kind::Freeze => {
                member.freeze();
                Trouble::Frozen {
                    until: now + frozen,
                }
            }
            Kind::Terminate => {
                member.terminate();
                Trouble::Ending { since: now }
            }
        };
        if role == Role::Worker && kind == Kind::Kill && is_replaced {
            self.renamed += 1;
            mesh.rename_worker(index, &format!("w{index}-{}", self.renamed));
        }
        self.troubles.insert((role, index), trouble);
        true
    }

    async fn strike_backend(&mut self, mesh: &ChaosMesh, kind: Kind) -> bool {
        let pids = mesh.database.client_pids().await;
        if pids.is_empty() {
            return false;
        }
        let pid = pids[self.rng.random_range(0..pids.len())];
        let signal = match kind {
            Kind::Kill => Signal::KILL,
            Kind::Terminate => Signal::TERM,
            Kind::Freeze => {
                let frozen = Duration::from_millis(self.rng.random_range(100..3000));
                self.frozen_backends.push((pid, Instant::now() + frozen));
                Signal::STOP
            }
        };
        kill_process(pid, signal).is_ok()
    }

    async fn strike_database(&mut self, mesh: &mut ChaosMesh, kind: Kind) -> bool {
        // A frozen process would keep the server from ending.
        for (pid, _) in self.frozen_backends.drain(..) {
            let _ = kill_process(pid, Signal::CONT);
        }
        let how = match kind {
            Kind::Terminate => Shutdown::Fast,
            Kind::Kill | Kind::Freeze => Shutdown::Immediate,
        };
        mesh.database.restart(how).await;
        true
    }
}

fn member(mesh: &mut ChaosMesh, role: Role, index: usize) -> &mut Member {
    match role {
        Role::Worker => &mut mesh.workers[index],
        Role::Scheduler => &mut mesh.schedulers[index],
        Role::Edge => &mut mesh.edge,
        Role::Billing => &mut mesh.billing,
        // The database has no members.
        Role::Store | Role::Backend | Role::Database => &mut mesh.store,
    }
}

fn since_epoch() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = now.map_or(0, |now| now.as_micros());
    u64::try_from(micros).unwrap_or(u64::MAX)
}
