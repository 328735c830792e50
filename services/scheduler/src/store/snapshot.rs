//! A bounded look at the queue, for the policy to decide on.

use std::collections::{BTreeSet, HashMap, HashSet};

use kinora_ids::JobId;
use sea_orm::prelude::ChronoDateTimeUtc;
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult};
use uuid::Uuid;

use super::lanes::lock as lock_lanes;
use super::rows::{CLASSES, class_from_number, class_to_number, count, duration};
use super::shares::{Parties, Standing, is_full};
use super::sql::Sql;
use super::{JobStore, JobStoreError};
use crate::policy::{Bounds, Candidate, Lane, Snapshot};

/// Looks again after lanes at a limit have been put aside, at most so often.
const LOOKS: u32 = 4;

/// Marked lanes that are looked at now and then, in one go.
const LOOKED_AT_AGAIN: i64 = 256;

#[derive(FromQueryResult)]
struct LaneRow {
    id: Uuid,
    model: String,
    class: i16,
    owner: String,
    tenant: String,
    vt: i64,
}

#[derive(FromQueryResult)]
struct JobRow {
    lane: Uuid,
    id: Uuid,
    ready_at: ChronoDateTimeUtc,
    cost: i64,
    pixels: i64,
    last_worker: Option<String>,
}

impl JobStore {
    /// What waits for these models, the empty name standing for work that needs none: of each model and class the
    /// lanes that come first and are at no limit, with their first jobs. It takes no locks and may be out of date when
    /// it is read; a claim checks everything again.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn snapshot(
        &self,
        models: &[String],
        bounds: Bounds,
    ) -> Result<Snapshot, JobStoreError> {
        let mut looks = 1;
        loop {
            let (rows, jobs) = self.look(models, bounds).await?;
            let mut parties = Parties::default();
            for row in &rows {
                parties.add(&row.tenant, &row.owner);
            }
            let standing = self.standing(self.db.reader(), &parties).await?;
            let full = rows_at_limit(&rows, &standing);
            if full.is_empty() || looks == LOOKS {
                return build(rows, jobs, standing, &full);
            }
            looks += 1;
            self.put_aside(&rows, &full).await?;
        }
    }

    /// Whether any job of these models may be leased: a cheap look before a snapshot.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn has_work(&self, models: &[String]) -> Result<bool, JobStoreError> {
        let query = Sql::new(
            self.backend(),
            "SELECT 1 AS found FROM lane WHERE is_open AND NOT is_blocked AND model",
        )
        .any_name(models.iter().map(String::as_str))
        .then(" LIMIT 1");
        Ok(self
            .db
            .reader()
            .query_one_raw(query.build())
            .await?
            .is_some())
    }

    async fn look(
        &self,
        models: &[String],
        bounds: Bounds,
    ) -> Result<(Vec<LaneRow>, Vec<JobRow>), JobStoreError> {
        if models.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        if self.backend() == DbBackend::Postgres {
            self.look_at_once(models, bounds).await
        } else {
            self.look_one_by_one(models, bounds).await
        }
    }

    async fn look_at_once(
        &self,
        models: &[String],
        bounds: Bounds,
    ) -> Result<(Vec<LaneRow>, Vec<JobRow>), JobStoreError> {
        let query = Sql::new(
            DbBackend::Postgres,
            "SELECT l.id AS lane, l.model, l.class, l.owner, l.tenant, l.vt, \
             j.id, j.ready_at, j.cost, j.pixels, j.last_worker FROM unnest(",
        )
        .bind(models.to_vec())
        .then("::text[]) AS q(model) CROSS JOIN unnest(")
        .bind(CLASSES.map(class_to_number).to_vec())
        .then(
            "::smallint[]) AS c(class) CROSS JOIN LATERAL (SELECT * FROM lane WHERE is_open AND NOT is_blocked \
             AND lane.model = q.model AND lane.class = c.class ORDER BY lane.vt, lane.id LIMIT ",
        )
        .bind(i64::from(bounds.lanes))
        .then(
            ") AS l CROSS JOIN LATERAL (SELECT job.id, job.ready_at, job.cost, job.pixels, job.last_worker \
             FROM job WHERE is_ready AND job.lane = l.id ORDER BY job.id LIMIT ",
        )
        .bind(i64::from(bounds.jobs))
        .then(") AS j");
        let rows = self.db.reader().query_all_raw(query.build()).await?;
        let mut lanes = HashMap::new();
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            let job = JobRow::from_query_result(&row, "")?;
            if let std::collections::hash_map::Entry::Vacant(entry) = lanes.entry(job.lane) {
                entry.insert(LaneRow {
                    id: job.lane,
                    model: row.try_get("", "model")?,
                    class: row.try_get("", "class")?,
                    owner: row.try_get("", "owner")?,
                    tenant: row.try_get("", "tenant")?,
                    vt: row.try_get("", "vt")?,
                });
            }
            jobs.push(job);
        }
        let mut lanes: Vec<LaneRow> = lanes.into_values().collect();
        // Lanes of the same turn come in the same order each time, as they do on the other engine.
        lanes.sort_unstable_by_key(|lane| (lane.vt, lane.id));
        Ok((lanes, jobs))
    }

    async fn look_one_by_one(
        &self,
        models: &[String],
        bounds: Bounds,
    ) -> Result<(Vec<LaneRow>, Vec<JobRow>), JobStoreError> {
        let mut lanes = Vec::new();
        let mut jobs = Vec::new();
        for (model, class) in models
            .iter()
            .flat_map(|model| CLASSES.map(|class| (model, class)))
        {
            let query = Sql::new(
                self.backend(),
                "SELECT * FROM lane WHERE is_open AND NOT is_blocked AND model = ",
            )
            .bind(model)
            .then(" AND class = ")
            .bind(class_to_number(class))
            .then(" ORDER BY vt, id LIMIT ")
            .bind(i64::from(bounds.lanes));
            let first = LaneRow::find_by_statement(query.build());
            lanes.extend(first.all(self.db.reader()).await?);
        }
        for lane in &lanes {
            let query = Sql::new(
                self.backend(),
                "SELECT lane, id, ready_at, cost, pixels, last_worker FROM job WHERE is_ready AND lane = ",
            )
            .bind(lane.id)
            .then(" ORDER BY id LIMIT ")
            .bind(i64::from(bounds.jobs));
            let first = JobRow::find_by_statement(query.build());
            jobs.extend(first.all(self.db.reader()).await?);
        }
        Ok((lanes, jobs))
    }

    /// Lets some lanes be looked at again that are marked although their tenant and owner may run more. The end of an
    /// attempt does that for a few; this is the net under it, for now and then. Returns how many.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn look_again(&self) -> Result<usize, JobStoreError> {
        // Any of them: the first in some order might be the same for ever.
        let query = Sql::new(
            self.backend(),
            "SELECT * FROM lane WHERE is_blocked AND is_open ORDER BY random() LIMIT ",
        )
        .bind(LOOKED_AT_AGAIN);
        let rows = LaneRow::find_by_statement(query.build());
        let rows = rows.all(self.db.reader()).await?;
        let mut parties = Parties::default();
        for row in &rows {
            parties.add(&row.tenant, &row.owner);
        }
        let standing = self.standing(self.db.reader(), &parties).await?;
        let full = rows_at_limit(&rows, &standing);
        let free = rows.iter().map(|row| row.id);
        let free: BTreeSet<Uuid> = free.filter(|id| !full.contains(id)).collect();
        if free.is_empty() {
            return Ok(0);
        }
        let tx = self.begin().await?;
        lock_lanes(&tx, free.iter().copied()).await?;
        let update = Sql::new(
            self.backend(),
            "UPDATE lane SET is_blocked = FALSE WHERE id",
        );
        tx.execute_raw(update.any_id(free.iter().copied()).build())
            .await?;
        tx.commit().await?;
        Ok(free.len())
    }

    /// Marks lanes whose tenant or owner may not run more, so that they do not stand in the way of others. The end of
    /// an attempt takes the mark away, and takes the same locks.
    async fn put_aside(&self, rows: &[LaneRow], full: &HashSet<Uuid>) -> Result<(), JobStoreError> {
        let mut parties = Parties::default();
        for row in rows.iter().filter(|row| full.contains(&row.id)) {
            parties.add(&row.tenant, &row.owner);
        }
        let tx = self.begin().await?;
        parties.lock(&tx).await?;
        let standing = self.standing(&tx, &parties).await?;
        let still = rows.iter().filter(|row| full.contains(&row.id));
        let still: BTreeSet<Uuid> = still
            .filter(|row| is_at_limit(row, &standing))
            .map(|row| row.id)
            .collect();
        lock_lanes(&tx, still.iter().copied()).await?;
        let update =
            Sql::new(self.backend(), "UPDATE lane SET is_blocked = TRUE WHERE id").any_id(still);
        tx.execute_raw(update.build()).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn is_at_limit(row: &LaneRow, standing: &Standing) -> bool {
    let tenant = standing.tenants.get(&row.tenant).copied();
    let owner = standing.owners.get(&row.owner).copied();
    [tenant, owner].into_iter().flatten().any(is_full)
}

fn rows_at_limit(rows: &[LaneRow], standing: &Standing) -> HashSet<Uuid> {
    let full = rows.iter().filter(|row| is_at_limit(row, standing));
    full.map(|row| row.id).collect()
}

fn build(
    rows: Vec<LaneRow>,
    jobs: Vec<JobRow>,
    standing: Standing,
    full: &HashSet<Uuid>,
) -> Result<Snapshot, JobStoreError> {
    let mut of_lane: HashMap<Uuid, Vec<Candidate>> = HashMap::new();
    for job in jobs {
        of_lane.entry(job.lane).or_default().push(Candidate {
            job: JobId::from_uuid(job.id),
            ready_since: job.ready_at,
            estimated_cost: duration(job.cost),
            pixels: count(job.pixels),
            last_worker: job.last_worker,
        });
    }
    let mut lanes = Vec::with_capacity(rows.len());
    for row in rows.into_iter().filter(|row| !full.contains(&row.id)) {
        let Some(mut jobs) = of_lane.remove(&row.id) else {
            continue;
        };
        jobs.sort_unstable_by_key(|job| job.job);
        lanes.push(Lane {
            priority: class_from_number(row.class)?,
            weight: standing.weights.get(&row.tenant).copied().unwrap_or(100),
            model: row.model,
            owner: row.owner,
            tenant: row.tenant,
            start_tag: row.vt,
            jobs,
        });
    }
    Ok(Snapshot {
        lanes,
        tenants: standing.tenants,
        owners: standing.owners,
    })
}
