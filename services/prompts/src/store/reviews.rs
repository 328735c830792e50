//! Asking for reviews, deciding them, and forgetting them.

use kinora_store::page::Page;
use kinora_store::{Database, StoreError};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::review;
use crate::domain::Time;
use crate::domain::finding::TextFinding;
use crate::domain::review::{KEPT, KeptFinding, MAX_PENDING, Review, ReviewStatus, ReviewTexts};
use crate::error::Error;

/// What asking for a review came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// It is there: new, or from before, perhaps decided.
    There(Box<Review>),
    /// Too many of the owner's wait.
    TooMany,
}

/// The table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    db: Database,
}

impl Store {
    /// Uses an open database whose schema is up to date.
    #[must_use]
    pub const fn new(db: Database) -> Self {
        Self { db }
    }

    /// Puts a prompt into the queue, or finds it there. The same texts of the same owner are one entry.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn ask(
        &self,
        owner: &str,
        digest: &str,
        texts: &ReviewTexts,
        findings: &[TextFinding],
        now: Time,
    ) -> Result<Asked, Error> {
        let tx = self.db.begin().await?;
        if let Some(row) = locked(&tx, owner, digest).await? {
            let row = asked_again(&tx, row, now).await?;
            tx.commit().await?;
            return Ok(Asked::There(Box::new(review_of(row)?)));
        }
        let pending = review::Entity::find()
            .filter(review::Column::Owner.eq(owner))
            .filter(review::Column::Status.eq(ReviewStatus::Pending.name()));
        if pending.count(&tx).await? >= MAX_PENDING {
            return Ok(Asked::TooMany);
        }
        let kept: Vec<KeptFinding> = findings.iter().map(Into::into).collect();
        let row = review::Model {
            id: Uuid::now_v7(),
            owner: owner.to_owned(),
            digest: digest.to_owned(),
            status: ReviewStatus::Pending.name().to_owned(),
            texts: json(texts)?,
            findings: json(&kept)?,
            requests: 1,
            create_time: now,
            decide_time: None,
            decided_by: None,
            note: String::new(),
            purge_time: now + KEPT,
        };
        let conflict = OnConflict::columns([review::Column::Owner, review::Column::Digest])
            .do_nothing()
            .to_owned();
        review::Entity::insert(row.into_active_model())
            .on_conflict(conflict)
            .exec_without_returning(&tx)
            .await?;
        // It may be another's who asked for the same at the same moment.
        let row = locked(&tx, owner, digest).await?;
        tx.commit().await?;
        let row = row.ok_or_else(|| Error::Broken("a review vanished".to_owned()))?;
        Ok(Asked::There(Box::new(review_of(row)?)))
    }

    /// The entry of these texts of this owner.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn of(&self, owner: &str, digest: &str) -> Result<Option<Review>, Error> {
        let row = find(owner, digest).one(self.db.reader()).await?;
        row.map(review_of).transpose()
    }

    /// An entry by id.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn get(&self, id: Uuid) -> Result<Option<Review>, Error> {
        let row = review::Entity::find_by_id(id).one(self.db.reader()).await?;
        row.map(review_of).transpose()
    }

    /// Entries by age, the oldest first.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn list(&self, status: ReviewStatus, page: &Page) -> Result<Vec<Review>, Error> {
        let mut found = review::Entity::find().filter(review::Column::Status.eq(status.name()));
        if let Some(after) = page.after {
            found = found.filter(review::Column::Id.gt(after));
        }
        let found = found.order_by_asc(review::Column::Id).limit(page.rows());
        let rows = found.all(self.db.reader()).await?;
        rows.into_iter().map(review_of).collect()
    }

    /// Writes a decision, unless there is one. Answers with the entry as it is then; None for an unknown id.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Broken`].
    pub async fn decide(
        &self,
        id: Uuid,
        status: ReviewStatus,
        operator: &str,
        note: &str,
        now: Time,
    ) -> Result<Option<Review>, Error> {
        let tx = self.db.begin().await?;
        let change = review::ActiveModel {
            status: Set(status.name().to_owned()),
            decide_time: Set(Some(now)),
            decided_by: Set(Some(operator.to_owned())),
            note: Set(note.to_owned()),
            purge_time: Set(now + KEPT),
            ..Default::default()
        };
        review::Entity::update_many()
            .set(change)
            .filter(review::Column::Id.eq(id))
            .filter(review::Column::Status.eq(ReviewStatus::Pending.name()))
            .exec(&tx)
            .await?;
        let row = review::Entity::find_by_id(id).one(&tx).await?;
        tx.commit().await?;
        row.map(review_of).transpose()
    }

    /// Removes entries whose time is over, and answers how many.
    ///
    /// # Errors
    /// [`StoreError`] when the database refuses it.
    pub async fn sweep(&self, now: Time) -> Result<u64, StoreError> {
        let removed = review::Entity::delete_many()
            .filter(review::Column::PurgeTime.lt(now))
            .exec(self.db.writer())
            .await?;
        Ok(removed.rows_affected)
    }
}

/// Counts a repeated request. A decision whose time is over is made anew.
async fn asked_again(
    tx: &DatabaseTransaction,
    row: review::Model,
    now: Time,
) -> Result<review::Model, DbErr> {
    let is_over = row.decide_time.is_some() && row.purge_time <= now;
    let is_pending = row.status == ReviewStatus::Pending.name() || is_over;
    let mut change = row.clone().into_active_model();
    change.requests = Set(row.requests.saturating_add(1));
    if is_pending {
        // A decision's own time is not put off by asking.
        change.purge_time = Set(now + KEPT);
    }
    if is_over {
        change.status = Set(ReviewStatus::Pending.name().to_owned());
        change.decide_time = Set(None);
        change.decided_by = Set(None);
        change.note = Set(String::new());
    }
    review::Entity::update(change).exec(tx).await
}

fn find(owner: &str, digest: &str) -> sea_orm::Select<review::Entity> {
    review::Entity::find()
        .filter(review::Column::Owner.eq(owner))
        .filter(review::Column::Digest.eq(digest))
}

async fn locked(
    tx: &impl ConnectionTrait,
    owner: &str,
    digest: &str,
) -> Result<Option<review::Model>, DbErr> {
    find(owner, digest).lock_exclusive().one(tx).await
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Broken(format!("a review: {error}")))
}

fn review_of(row: review::Model) -> Result<Review, Error> {
    let broken = |what: &str| Error::Broken(format!("review {}: {what} cannot be read", row.id));
    let status = ReviewStatus::from_name(&row.status).ok_or_else(|| broken("its status"))?;
    let texts = serde_json::from_str(&row.texts).map_err(|_| broken("its text"))?;
    let kept: Vec<KeptFinding> =
        serde_json::from_str(&row.findings).map_err(|_| broken("what was found"))?;
    Ok(Review {
        id: row.id,
        owner: row.owner,
        status,
        texts,
        findings: kept.into_iter().map(Into::into).collect(),
        requests: u32::try_from(row.requests).unwrap_or_default(),
        create_time: row.create_time,
        decide_time: row.decide_time,
        decided_by: row.decided_by,
        note: row.note,
        purge_time: row.purge_time,
    })
}
