//! The two tables of jobs: one entity, two names.

use kinora_ids::JobId;
use sea_orm::sea_query::{Alias, LockType, SelectStatement};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, IntoActiveModel,
    QueryResult, QueryTrait, Select,
};
use uuid::Uuid;

use super::JobStoreError;
use super::entity::job;
use super::rows::job_from_row;
use super::sql::Sql;
use crate::domain::job::Job;

/// Which jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// Those that have not ended.
    Hot,
    /// Those that have.
    Finished,
}

impl Jobs {
    pub const fn table(self) -> &'static str {
        match self {
            Self::Hot => "job",
            Self::Finished => "finished_job",
        }
    }

    /// Reads rows by a query that was written for the entity.
    pub async fn read(
        self,
        db: &impl ConnectionTrait,
        query: Select<job::Entity>,
    ) -> Result<Vec<Job>, JobStoreError> {
        Self::parse(&self.run(db, query.into_query()).await?)
    }

    /// As [`Jobs::read`], and locks the rows until the end of the transaction.
    pub async fn read_locked(
        self,
        tx: &DatabaseTransaction,
        query: Select<job::Entity>,
    ) -> Result<Vec<Job>, JobStoreError> {
        let mut query = query.into_query();
        query.lock(LockType::Update);
        Self::parse(&self.run(tx, query).await?)
    }

    /// As [`Jobs::read`], without what cannot be read.
    pub async fn read_readable(
        self,
        db: &impl ConnectionTrait,
        query: Select<job::Entity>,
    ) -> Result<Vec<Job>, JobStoreError> {
        Self::parse_readable(&self.run(db, query.into_query()).await?)
    }

    /// As [`Jobs::read_locked`], without what cannot be read.
    pub async fn read_readable_locked(
        self,
        tx: &DatabaseTransaction,
        query: Select<job::Entity>,
    ) -> Result<Vec<Job>, JobStoreError> {
        let mut query = query.into_query();
        query.lock(LockType::Update);
        Self::parse_readable(&self.run(tx, query).await?)
    }

    async fn run(
        self,
        db: &impl ConnectionTrait,
        mut query: SelectStatement,
    ) -> Result<Vec<QueryResult>, JobStoreError> {
        if self == Self::Finished {
            query
                .from_clear()
                .from_as(Alias::new(self.table()), Alias::new("job"));
        }
        Ok(db.query_all(&query).await?)
    }

    /// Jobs of a hand-written query for all columns.
    pub fn parse(rows: &[QueryResult]) -> Result<Vec<Job>, JobStoreError> {
        rows.iter()
            .map(|row| job_from_row(job::Model::from_query_result(row, "")?))
            .collect()
    }

    /// As [`Jobs::parse`], without what cannot be read: one job of a newer version must not hold up all.
    pub fn parse_readable(rows: &[QueryResult]) -> Result<Vec<Job>, JobStoreError> {
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            jobs.extend(readable(job::Model::from_query_result(row, "")?));
        }
        Ok(jobs)
    }

    pub async fn insert(
        self,
        tx: &impl ConnectionTrait,
        rows: impl IntoIterator<Item = job::Model>,
    ) -> Result<(), JobStoreError> {
        let rows = rows.into_iter().map(IntoActiveModel::into_active_model);
        let mut insert = job::Entity::insert_many(rows).into_query();
        insert.into_table(Alias::new(self.table()));
        tx.execute(&insert).await?;
        Ok(())
    }

    pub async fn delete(
        self,
        tx: &impl ConnectionTrait,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<u64, JobStoreError> {
        let text = format!("DELETE FROM {} WHERE id", self.table());
        let delete = Sql::new(tx.get_database_backend(), &text).any_id(ids);
        Ok(tx.execute_raw(delete.build()).await?.rows_affected())
    }
}

pub fn by_id(id: JobId) -> Select<job::Entity> {
    job::Entity::find_by_id(id.as_uuid())
}

/// The job of a row, unless this version cannot read it.
pub fn readable(row: job::Model) -> Option<Job> {
    let id = JobId::from_uuid(row.id);
    job_from_row(row)
        .inspect_err(|error| tracing::warn!(job_id = %id, %error, "a job is passed over"))
        .ok()
}
