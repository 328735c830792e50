//! What replicas of the scheduler tell each other, and what watchers hear.
//!
//! * **Transitions** are in the database before they are announced. Watchers of this replica get them as they are;
//!   other replicas get a hint, and their watchers read the rows. So nothing but the database ever says how a job ended.
//! * **Progress** goes to other replicas at most twice a second for each job, and at once when the stage changes.
//!   PostgreSQL carries pictures of up to about 5 kB along, NATS carries all of them.
//! * **Work** wakes dispatch everywhere, at most every 50 ms; **revocations** and **orders** find the worker wherever it
//!   is attached. Those that are lost are made up for by its next heartbeat.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinora_events::{Engine, Message, NatsUrl, Secret};
use kinora_ids::{JobId, LeaseRef};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::SchedulerOptions;
use crate::domain::job::{Event, GroupRef, Preview, Progress, State, Time};
use crate::store::Wishes;

/// The channel of notifications in the scheduler's database.
const CHANNEL: &str = "kinora_scheduler";

/// A job's progress reaches other replicas no more often.
const PROGRESS_SPACING: Duration = Duration::from_millis(500);

/// Other replicas are not woken more often.
const WORK_SPACING: Duration = Duration::from_millis(50);

/// How events reach other replicas.
#[derive(Clone, Debug)]
pub enum EventsVia {
    /// They do not.
    Memory,
    /// Through the scheduler's database.
    Postgres,
    /// Through a NATS server.
    Nats(NatsUrl),
}

impl FromStr for EventsVia {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "postgres" => Ok(Self::Postgres),
            url => url
                .parse()
                .map(Self::Nats)
                .map_err(|error| format!("must be memory or postgres, or {error}")),
        }
    }
}

/// The engine that the options ask for.
#[must_use]
pub fn engine(options: &SchedulerOptions) -> Engine {
    let postgres = || Engine::Postgres {
        url: Secret(options.database.expose().to_owned()),
        channel: CHANNEL,
    };
    match &options.events {
        Some(EventsVia::Memory) => Engine::Memory,
        Some(EventsVia::Postgres) => postgres(),
        Some(EventsVia::Nats(url)) => Engine::Nats(url.clone()),
        None if options.database.is_postgres() => postgres(),
        None => Engine::Memory,
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One job.
    Job(JobId),
    /// All jobs of a group.
    Group(Uuid),
    /// Whether there may be work.
    Work,
    /// Leases that no longer stand.
    Revocations,
    /// What workers are to do.
    Orders,
}

/// What the bus carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A transition that was committed.
    Changed(Arc<Event>),
    /// How far a running attempt is.
    Progress {
        /// Its number may lie between those of stored changes.
        event: Arc<Event>,
        /// Whether it says more than the one before it of the same stage would.
        is_new_stage: bool,
    },
    /// A job may have become leasable.
    Work,
    /// A worker must stop.
    Revoked {
        /// Which worker.
        worker: String,
        /// Under which lease.
        lease: LeaseRef,
    },
    /// A lease is to be handed back.
    Preempted {
        /// Which lease.
        lease: LeaseRef,
    },
    /// Operators want something else of a worker.
    Wished {
        /// Which worker.
        worker: String,
        /// All that they want of it.
        wishes: Wishes,
    },
}

/// The text of a [`Signal`]. Other versions may leave fields out or add some.
#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Wire {
    Progress(Box<WireProgress>),
    Work,
    Revoked {
        worker: String,
        job: JobId,
        lease: u64,
    },
    Preempted {
        job: JobId,
        lease: u64,
    },
    Wished {
        worker: String,
        cordoned: bool,
        drained: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct WireProgress {
    job: JobId,
    seq: u64,
    time: Time,
    attempt: u32,
    progress: Progress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<GroupRef>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    preview: String,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => write!(f, "job.{id}"),
            Self::Group(id) => write!(f, "group.{id}"),
            Self::Work => f.write_str("work"),
            Self::Revocations => f.write_str("revocations"),
            Self::Orders => f.write_str("orders"),
        }
    }
}

/// The text names no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTopic;

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        match text.split_once('.') {
            Some(("job", id)) => id.parse().map(Self::Job).map_err(|_| UnknownTopic),
            Some(("group", id)) => id.parse().map(Self::Group).map_err(|_| UnknownTopic),
            None if text == "work" => Ok(Self::Work),
            None if text == "revocations" => Ok(Self::Revocations),
            None if text == "orders" => Ok(Self::Orders),
            _ => Err(UnknownTopic),
        }
    }
}

impl Message for Signal {
    type Topic = Topic;

    fn topics(&self) -> Vec<Topic> {
        match self {
            Self::Changed(event) | Self::Progress { event, .. } => {
                let group = event.group.map(|group| Topic::Group(group.id));
                [Topic::Job(event.job)].into_iter().chain(group).collect()
            }
            Self::Work => vec![Topic::Work],
            Self::Revoked { .. } => vec![Topic::Revocations],
            Self::Preempted { .. } | Self::Wished { .. } => vec![Topic::Orders],
        }
    }

    fn spacing(&self) -> Option<Duration> {
        match self {
            Self::Work => Some(WORK_SPACING),
            Self::Progress {
                is_new_stage: false,
                ..
            } => Some(PROGRESS_SPACING),
            Self::Progress { .. }
            | Self::Changed(_)
            | Self::Revoked { .. }
            | Self::Preempted { .. }
            | Self::Wished { .. } => None,
        }
    }

    fn to_wire(&self, limit: usize) -> Option<String> {
        let wire = match self {
            Self::Changed(_) => return None,
            Self::Progress { event, .. } => {
                let with_preview = progress_text(event, limit);
                return with_preview.filter(|text| text.len() <= limit);
            }
            Self::Work => Wire::Work,
            Self::Revoked { worker, lease } => Wire::Revoked {
                worker: worker.clone(),
                job: lease.job,
                lease: lease.lease,
            },
            Self::Preempted { lease } => Wire::Preempted {
                job: lease.job,
                lease: lease.lease,
            },
            Self::Wished { worker, wishes } => Wire::Wished {
                worker: worker.clone(),
                cordoned: wishes.is_cordoned,
                drained: wishes.is_drained,
            },
        };
        serde_json::to_string(&wire).ok()
    }

    fn from_wire(text: &str) -> Option<Self> {
        Some(match serde_json::from_str(text).ok()? {
            Wire::Work => Self::Work,
            Wire::Revoked { worker, job, lease } => Self::Revoked {
                worker,
                lease: LeaseRef { job, lease },
            },
            Wire::Preempted { job, lease } => Self::Preempted {
                lease: LeaseRef { job, lease },
            },
            Wire::Wished {
                worker,
                cordoned,
                drained,
            } => Self::Wished {
                worker,
                wishes: Wishes {
                    is_cordoned: cordoned,
                    is_drained: drained,
                },
            },
            Wire::Progress(progress) => Self::Progress {
                event: Arc::new(progress.into_event()),
                is_new_stage: false,
            },
        })
    }
}

/// Without the picture when that would not fit.
fn progress_text(event: &Event, limit: usize) -> Option<String> {
    let wire = |preview: String| {
        let progress = WireProgress {
            job: event.job,
            seq: event.seq,
            time: event.time,
            attempt: event.attempt,
            progress: event.progress.clone(),
            group: event.group,
            preview,
        };
        serde_json::to_string(&Wire::Progress(Box::new(progress))).ok()
    };
    let preview = event.preview.as_ref().map(Preview::webp);
    // Base64 takes four bytes for three.
    if let Some(webp) = preview.filter(|webp| webp.len() < limit / 4 * 3)
        && let Some(text) = wire(STANDARD.encode(webp))
        && text.len() <= limit
    {
        return Some(text);
    }
    wire(String::new())
}

impl WireProgress {
    fn into_event(self) -> Event {
        let webp = STANDARD.decode(&self.preview).unwrap_or_default();
        let mut progress = self.progress;
        if !progress.fraction.is_finite() {
            progress.fraction = 0.0;
        }
        Event {
            job: self.job,
            seq: self.seq,
            time: self.time,
            // There is no progress but of running attempts.
            state: State::Running,
            attempt: self.attempt,
            progress,
            failure: None,
            outputs: None,
            preview_outputs: None,
            group: self.group,
            preview: Preview::new(&webp),
        }
    }
}

#[cfg(test)]
mod tests;
