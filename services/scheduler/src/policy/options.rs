//! The numbers of the policy.

use std::time::Duration;

use crate::domain::job::Priority;

/// How jobs and workers are matched.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyOptions {
    /// A batch job that has waited this long counts as a standard one.
    pub batch_aging: Duration,
    /// A standard job that has waited this long counts as an interactive one. A batch job first has to become standard.
    pub standard_aging: Duration,
    /// How long a job waits for a worker that has its model in memory, and how far, in time of the whole fleet, a
    /// model may fall behind its share so that others save the loading of weights.
    pub affinity_patience: Duration,
    /// Lanes of a queue that are looked at for each lease when the first ones fit no worker.
    pub look_ahead: usize,
    /// Jobs leased by one plan.
    pub max_assignments: usize,
    /// Leases pre-empted by one plan.
    pub max_preemptions: usize,
    /// A worker is pre-empted once in this time, and a job has others pre-empted for it once in this time.
    pub preemption_pause: Duration,
    /// An attempt of which this share is done is not pre-empted.
    pub preemption_below: f64,
    /// A job that was pre-empted this often is left alone.
    pub preemptions_of_a_job: u32,
}

impl Default for PolicyOptions {
    fn default() -> Self {
        Self {
            batch_aging: Duration::from_secs(5 * 60),
            standard_aging: Duration::from_secs(2 * 60),
            affinity_patience: Duration::from_secs(2),
            look_ahead: 32,
            max_assignments: 128,
            max_preemptions: 16,
            preemption_pause: Duration::from_secs(30),
            preemption_below: 0.8,
            preemptions_of_a_job: 2,
        }
    }
}

impl PolicyOptions {
    /// The class that a job counts as after a wait.
    pub(super) fn aged(&self, class: Priority, waited: Duration) -> Priority {
        match class {
            Priority::Interactive => Priority::Interactive,
            Priority::Standard if waited >= self.standard_aging => Priority::Interactive,
            Priority::Standard => Priority::Standard,
            Priority::Batch if waited >= self.batch_aging + self.standard_aging => {
                Priority::Interactive
            }
            Priority::Batch if waited >= self.batch_aging => Priority::Standard,
            Priority::Batch => Priority::Batch,
        }
    }
}
