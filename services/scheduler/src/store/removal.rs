//! The outbox of objects that are due for removal.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::object_deletion;
use super::{JobStore, JobStoreError};
use crate::domain::job::Time;

/// Removes all objects under a prefix, not before a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Ends in a slash.
    pub prefix: String,
    /// Earliest time.
    pub not_before: Time,
}

/// A removal that is being tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRemoval {
    /// Identifies the outbox row.
    pub id: Uuid,
    /// Ends in a slash.
    pub prefix: String,
    /// Tries before this one.
    pub attempts: u32,
}

impl JobStore {
    /// Takes up to `limit` due removals and hides them from others until `now + retry_after`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn due_removals(
        &self,
        now: Time,
        retry_after: Duration,
        limit: u64,
    ) -> Result<Vec<DueRemoval>, JobStoreError> {
        let is_due = object_deletion::Column::NotBefore.lte(now);
        let due = object_deletion::Entity::find().filter(is_due);
        if due.clone().one(self.db.reader()).await?.is_none() {
            return Ok(Vec::new());
        }
        let tx = self.begin().await?;
        let rows = due
            .order_by_asc(object_deletion::Column::NotBefore)
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&tx)
            .await?;
        let hidden = object_deletion::Entity::update_many()
            .col_expr(
                object_deletion::Column::NotBefore,
                Expr::value(now + retry_after),
            )
            .col_expr(
                object_deletion::Column::Attempts,
                Expr::col(object_deletion::Column::Attempts).add(1),
            )
            .filter(object_deletion::Column::Id.is_in(rows.iter().map(|row| row.id)));
        hidden.exec(&tx).await?;
        tx.commit().await?;
        Ok(rows
            .into_iter()
            .map(|row| DueRemoval {
                id: row.id,
                prefix: row.prefix,
                attempts: u32::try_from(row.attempts).unwrap_or(0),
            })
            .collect())
    }

    /// Adds a removal that a later transaction may call off.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn plan_removal(&self, removal: &Removal) -> Result<Uuid, JobStoreError> {
        let row = row_of(removal);
        let id = row.id;
        object_deletion::Entity::insert(row.into_active_model())
            .exec_without_returning(self.db.writer())
            .await?;
        Ok(id)
    }

    /// Adds the removal of something that an owner uploads, which counts as the owner's until it is removed.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn plan_upload_removal(
        &self,
        owner: &str,
        removal: &Removal,
    ) -> Result<(), JobStoreError> {
        let row = object_deletion::Model {
            uploader: Some(owner.to_owned()),
            ..row_of(removal)
        };
        object_deletion::Entity::insert(row.into_active_model())
            .exec_without_returning(self.db.writer())
            .await?;
        Ok(())
    }

    /// Counts an owner's uploads that are not removed yet.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn uploads_of(&self, owner: &str) -> Result<u64, JobStoreError> {
        let own = object_deletion::Column::Uploader.eq(owner);
        let count = object_deletion::Entity::find().filter(own);
        Ok(count.count(self.db.reader()).await?)
    }

    /// Forgets a removal that is done.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn removal_done(&self, id: Uuid) -> Result<(), JobStoreError> {
        object_deletion::Entity::delete_by_id(id)
            .exec(self.db.writer())
            .await?;
        Ok(())
    }

    /// Tries a failed removal again at `not_before`.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn postpone_removal(&self, id: Uuid, not_before: Time) -> Result<(), JobStoreError> {
        object_deletion::Entity::update_many()
            .col_expr(object_deletion::Column::NotBefore, Expr::value(not_before))
            .filter(object_deletion::Column::Id.eq(id))
            .exec(self.db.writer())
            .await?;
        Ok(())
    }
}

/// Adds removals to the outbox, in the transaction that makes them due.
pub async fn schedule_removal(
    tx: &impl ConnectionTrait,
    removals: &[Removal],
) -> Result<(), JobStoreError> {
    if removals.is_empty() {
        return Ok(());
    }
    let rows = removals
        .iter()
        .map(|removal| row_of(removal).into_active_model());
    object_deletion::Entity::insert_many(rows)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Calls a planned removal off. False when it is too late.
pub async fn call_off_removal(tx: &impl ConnectionTrait, id: Uuid) -> Result<bool, JobStoreError> {
    // Once it has been tried some objects may be gone.
    let deleted = object_deletion::Entity::delete_by_id(id)
        .filter(object_deletion::Column::Attempts.eq(0))
        .exec(tx)
        .await?;
    Ok(deleted.rows_affected == 1)
}

fn row_of(removal: &Removal) -> object_deletion::Model {
    object_deletion::Model {
        id: Uuid::now_v7(),
        prefix: removal.prefix.clone(),
        not_before: removal.not_before,
        attempts: 0,
        uploader: None,
    }
}
