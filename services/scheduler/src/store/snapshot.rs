//! A bounded look at the queue, for the policy to decide on.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use kinora_ids::JobId;
use sea_orm::prelude::ChronoDateTimeUtc;
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult};
use uuid::Uuid;

use super::lanes::lock as lock_lanes;
use super::rows::{CLASSES, class_from_number, class_to_number, count, duration, number};
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

/// What was found, before it is known who may run more.
#[derive(Default)]
struct Look {
    lanes: Vec<LaneRow>,
    jobs: Vec<JobRow>,
    /// Lanes of each queue, by model and class.
    found: HashMap<(String, i16), u32>,
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
            let look = self.look(models, bounds).await?;
            let mut parties = Parties::default();
            for row in &look.lanes {
                parties.add(&row.tenant, &row.owner);
            }
            let standing = self.standing(self.db.reader(), &parties).await?;
            let full = rows_at_limit(&look.lanes, &standing);
            if !full.is_empty() {
                self.put_aside(&look.lanes, &full).await?;
            }
            if looks == LOOKS || !look.is_hidden_by(&full, bounds) {
                return build(look, standing, &full, bounds);
            }
            looks += 1;
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

    async fn look(&self, models: &[String], bounds: Bounds) -> Result<Look, JobStoreError> {
        if models.is_empty() {
            return Ok(Look::default());
        }
        if self.backend() == DbBackend::Postgres {
            self.look_at_once(models, bounds).await
        } else {
            self.look_queue_by_queue(models, bounds).await
        }
    }

    async fn look_at_once(&self, models: &[String], bounds: Bounds) -> Result<Look, JobStoreError> {
        let query = Sql::new(
            DbBackend::Postgres,
            "SELECT l.id AS lane, l.model, l.class, l.owner, l.tenant, l.vt, l.found, \
             j.id, j.ready_at, j.cost, j.pixels, j.last_worker FROM unnest(",
        )
        .bind(models.to_vec())
        .then("::text[]) AS q(model) CROSS JOIN unnest(")
        .bind(CLASSES.map(class_to_number).to_vec())
        .then(
            "::smallint[]) AS c(class) CROSS JOIN LATERAL (SELECT first.*, COUNT(*) OVER () AS found FROM \
             (SELECT * FROM lane WHERE is_open AND NOT is_blocked \
             AND lane.model = q.model AND lane.class = c.class ORDER BY lane.vt, lane.id LIMIT ",
        )
        .bind(i64::from(bounds.lanes))
        .then(
            ") AS first) AS l CROSS JOIN LATERAL (SELECT * FROM (SELECT job.id, job.ready_at, job.cost, job.pixels, \
             job.last_worker FROM job WHERE is_ready AND job.lane = l.id ORDER BY job.id LIMIT ",
        )
        // The planner knows this bound, and cannot know the other.
        .bind(i64::from(bounds.jobs))
        .then(") AS first LIMIT GREATEST(")
        .bind(i64::from(Bounds::LEAST_JOBS))
        .then(", ")
        .bind(i64::from(bounds.jobs_in_all))
        .then(" / l.found)) AS j");
        let rows = self.db.reader().query_all_raw(query.build()).await?;
        let mut look = Look::default();
        let mut lanes = HashMap::new();
        for row in rows {
            let job = JobRow::from_query_result(&row, "")?;
            if let Entry::Vacant(entry) = lanes.entry(job.lane) {
                let lane = entry.insert(LaneRow {
                    id: job.lane,
                    model: row.try_get("", "model")?,
                    class: row.try_get("", "class")?,
                    owner: row.try_get("", "owner")?,
                    tenant: row.try_get("", "tenant")?,
                    vt: row.try_get("", "vt")?,
                });
                let found: i64 = row.try_get("", "found")?;
                let queue = (lane.model.clone(), lane.class);
                look.found.insert(queue, number("lane", found)?);
            }
            look.jobs.push(job);
        }
        look.lanes = lanes.into_values().collect();
        // Lanes of the same turn come in the same order each time, as they do on the other engine.
        look.lanes.sort_unstable_by_key(|lane| (lane.vt, lane.id));
        Ok(look)
    }

    async fn look_queue_by_queue(
        &self,
        models: &[String],
        bounds: Bounds,
    ) -> Result<Look, JobStoreError> {
        let mut look = Look::default();
        for (model, class) in models
            .iter()
            .flat_map(|model| CLASSES.map(|class| (model, class_to_number(class))))
        {
            let query = Sql::new(
                self.backend(),
                "SELECT * FROM lane WHERE is_open AND NOT is_blocked AND model = ",
            )
            .bind(model)
            .then(" AND class = ")
            .bind(class)
            .then(" ORDER BY vt, id LIMIT ")
            .bind(i64::from(bounds.lanes));
            let lanes = LaneRow::find_by_statement(query.build());
            let lanes = lanes.all(self.db.reader()).await?;
            if lanes.is_empty() {
                continue;
            }
            let found = u32::try_from(lanes.len()).unwrap_or(u32::MAX);
            let query = Sql::new(
                self.backend(),
                "SELECT j.lane, j.id, j.ready_at, j.cost, j.pixels, j.last_worker FROM lane AS l \
                 JOIN job AS j ON j.id IN (SELECT job.id FROM job WHERE job.is_ready AND job.lane = l.id \
                 ORDER BY job.id LIMIT ",
            )
            .bind(i64::from(bounds.jobs_of_each(found)))
            .then(") WHERE l.id")
            .any_id(lanes.iter().map(|lane| lane.id));
            let jobs = JobRow::find_by_statement(query.build());
            look.jobs.extend(jobs.all(self.db.reader()).await?);
            look.lanes.extend(lanes);
            look.found.insert((model.clone(), class), found);
        }
        Ok(look)
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

impl Look {
    /// Whether a queue may have lanes behind these.
    fn has_more(&self, bounds: Bounds) -> bool {
        self.found.values().any(|found| *found >= bounds.lanes)
    }

    /// Whether most of the lanes of such a queue are at a limit.
    fn is_hidden_by(&self, full: &HashSet<Uuid>, bounds: Bounds) -> bool {
        let mut left = self.found.clone();
        left.retain(|_, found| *found >= bounds.lanes);
        for lane in self.lanes.iter().filter(|lane| full.contains(&lane.id)) {
            if let Some(left) = left.get_mut(&(lane.model.clone(), lane.class)) {
                *left = left.saturating_sub(1);
            }
        }
        left.into_values()
            .any(|left| left < bounds.lanes.div_ceil(2))
    }
}

/// What is left of a look without those at a limit.
fn build(
    look: Look,
    standing: Standing,
    full: &HashSet<Uuid>,
    bounds: Bounds,
) -> Result<Snapshot, JobStoreError> {
    let has_more = look.has_more(bounds);
    let mut of_lane: HashMap<Uuid, Vec<Candidate>> = HashMap::new();
    for job in look.jobs {
        of_lane.entry(job.lane).or_default().push(Candidate {
            job: JobId::from_uuid(job.id),
            ready_since: job.ready_at,
            estimated_cost: duration(job.cost),
            pixels: count(job.pixels),
            last_worker: job.last_worker,
        });
    }
    let mut lanes = Vec::with_capacity(look.lanes.len());
    for row in look.lanes.into_iter().filter(|row| !full.contains(&row.id)) {
        let Some(mut jobs) = of_lane.remove(&row.id) else {
            continue;
        };
        jobs.sort_unstable_by_key(|job| job.job);
        let found = look.found.get(&(row.model.clone(), row.class));
        let most = bounds.jobs_of_each(found.copied().unwrap_or(1));
        lanes.push(Lane {
            has_more: u32::try_from(jobs.len()).is_ok_and(|jobs| jobs >= most),
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
        has_more,
    })
}
