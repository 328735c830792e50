//! What the webhooks do now and then, one replica at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::WebhookStore;
use super::deliveries::PENDING;
use super::entity::{delivery, endpoint, message, pass};
use super::outbox::note_progress;
use crate::domain::job::{Job, Time};
use crate::store::JobStoreError;

impl WebhookStore {
    /// Whether a duty is due, for this replica alone: the next one comes after `interval`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn begin_pass(
        &self,
        name: &str,
        interval: Duration,
        now: Time,
    ) -> Result<bool, JobStoreError> {
        let seen = pass::Entity::find_by_id(name.to_owned());
        match seen.one(self.db.reader()).await? {
            Some(pass) if pass.next_time > now => return Ok(false),
            Some(_) => {}
            None => {
                let new = pass::Model {
                    name: name.to_owned(),
                    next_time: now,
                };
                pass::Entity::insert(new.into_active_model())
                    .on_conflict_do_nothing()
                    .exec_without_returning(self.db.writer())
                    .await?;
            }
        }
        let moved = pass::Entity::update_many()
            .col_expr(pass::Column::NextTime, Expr::value(now + interval))
            .filter(pass::Column::Name.eq(name))
            .filter(pass::Column::NextTime.lte(now))
            .exec(self.db.writer())
            .await?;
        Ok(moved.rows_affected == 1)
    }

    /// Up to `limit` owners, after `after` in their order, who have an endpoint that wants progress.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn owners_for_progress(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<String>, JobStoreError> {
        let mut query = endpoint::Entity::find()
            .filter(endpoint::Column::WantsProgress.eq(true))
            .filter(endpoint::Column::Enabled.eq(true))
            .select_only()
            .column(endpoint::Column::Owner)
            .distinct();
        if let Some(after) = after {
            query = query.filter(endpoint::Column::Owner.gt(after));
        }
        let owners = query
            .order_by_asc(endpoint::Column::Owner)
            .limit(limit)
            .into_tuple()
            .all(self.db.reader());
        Ok(owners.await?)
    }

    /// Puts the progress of running jobs into the outbox, for the endpoints that want it.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn note_progress(&self, jobs: &[Job], now: Time) -> Result<(), JobStoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let tx = self.begin().await?;
        note_progress(&tx, jobs, now).await?;
        Ok(tx.commit().await?)
    }

    /// Removes up to `limit` messages from before `before` with their deliveries, but for those that are still to go
    /// out. Returns how many.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn purge_messages(&self, before: Time, limit: u64) -> Result<u64, JobStoreError> {
        let pending = Query::select()
            .expr(Expr::value(1))
            .from(delivery::Entity)
            .and_where(
                Expr::col((delivery::Entity, delivery::Column::MessageId))
                    .equals((message::Entity, message::Column::Id)),
            )
            .and_where(Expr::col((delivery::Entity, delivery::Column::State)).eq(PENDING))
            .to_owned();
        // Ids sort by time.
        let old: Vec<(Uuid, Time)> = message::Entity::find()
            .filter(message::Column::IsRelayed.eq(true))
            .filter(Expr::exists(pending.clone()).not())
            .select_only()
            .column(message::Column::Id)
            .column(message::Column::CreateTime)
            .order_by_asc(message::Column::Id)
            .limit(limit)
            .into_tuple()
            .all(self.db.reader())
            .await?;
        let old: BTreeSet<Uuid> = old
            .into_iter()
            .filter(|(_, create_time)| *create_time < before)
            .map(|(id, _)| id)
            .collect();
        if old.is_empty() {
            return Ok(0);
        }
        let purged = message::Entity::delete_many()
            .filter(message::Column::Id.is_in(old))
            // A delivery may have been replayed meanwhile.
            .filter(Expr::exists(pending).not())
            .exec(self.db.writer());
        Ok(purged.await?.rows_affected)
    }

    /// Removes the endpoints of jobs that ended long ago. Returns how many.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn purge_endpoints(&self, now: Time) -> Result<u64, JobStoreError> {
        let purged = endpoint::Entity::delete_many()
            .filter(endpoint::Column::ExpireTime.lte(now))
            .exec(self.db.writer());
        Ok(purged.await?.rows_affected)
    }
}
