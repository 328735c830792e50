//! How fast models are, as measured.

use std::time::Duration;

use sea_orm::{ConnectionTrait, EntityTrait};

use super::entity::pace;
use super::rows::count;
use super::sql::Sql;
use super::{JobStore, JobStoreError};

/// What a model takes on the devices it ran on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Device time of a unit of work, in nanoseconds. What a unit is, the estimate decides.
    pub nanos_per_unit: f64,
    /// Attempts that this is learnt from.
    pub samples: u64,
}

impl JobStore {
    /// What is known of a model's pace.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn pace(&self, model: &str) -> Result<Option<Pace>, JobStoreError> {
        let row = pace::Entity::find_by_id(model)
            .one(self.db.reader())
            .await?;
        Ok(row.map(|row| Pace {
            nanos_per_unit: row.nanos_per_unit,
            samples: count(row.samples),
        }))
    }

    /// Learns from an attempt that did `units` in `device_time`. Newer attempts weigh more: a tenth each, once there
    /// are ten. One that is more than ten times as fast or as slow as what is known counts as ten times: a worker
    /// whose clock is wrong, or that lies, does not spoil the estimates of all others.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn note_pace(
        &self,
        model: &str,
        units: f64,
        device_time: Duration,
    ) -> Result<(), JobStoreError> {
        let nanos = device_time.as_secs_f64() * 1e9 / units;
        if !nanos.is_finite() || nanos <= 0.0 {
            return Ok(());
        }
        let upsert = Sql::new(
            self.backend(),
            "INSERT INTO pace (model, nanos_per_unit, samples) VALUES (",
        )
        .bind(model)
        .then(", ")
        .bind(nanos)
        .then(
            ", 1) ON CONFLICT (model) DO UPDATE SET samples = pace.samples + 1, \
             nanos_per_unit = pace.nanos_per_unit + (CASE \
             WHEN excluded.nanos_per_unit > pace.nanos_per_unit * 10 THEN pace.nanos_per_unit * 10 \
             WHEN excluded.nanos_per_unit < pace.nanos_per_unit / 10 THEN pace.nanos_per_unit / 10 \
             ELSE excluded.nanos_per_unit END - pace.nanos_per_unit) \
             / CASE WHEN pace.samples < 9 THEN pace.samples + 1 ELSE 10 END",
        );
        self.db.writer().execute_raw(upsert.build()).await?;
        Ok(())
    }
}
