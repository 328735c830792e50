//! The keys that sign tokens, and what else tokens are checked against.

use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::trust::{ended, signing_key, terms};
use crate::domain::Time;
use crate::domain::signing_key::KeyState;

/// Keeps other replicas from changing keys until the transaction ends. Readers go on.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn lock(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    // On SQLite there is one writer anyway.
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared("LOCK TABLE signing_key IN SHARE ROW EXCLUSIVE MODE")
            .await?;
    }
    Ok(())
}

/// All keys, oldest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn all(conn: &impl ConnectionTrait) -> Result<Vec<signing_key::Model>, DbErr> {
    let keys = signing_key::Entity::find().order_by_asc(signing_key::Column::Id);
    keys.all(conn).await
}

/// The key that signs.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn current(conn: &impl ConnectionTrait) -> Result<Option<signing_key::Model>, DbErr> {
    signing_key::Entity::find()
        .filter(signing_key::Column::State.eq(KeyState::Current.code()))
        .one(conn)
        .await
}

/// Adds a key.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(tx: &impl ConnectionTrait, key: signing_key::Model) -> Result<(), DbErr> {
    signing_key::Entity::insert(key.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Moves a key on. The secret of a key that signs no more is forgotten.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn set_state(
    tx: &impl ConnectionTrait,
    id: Uuid,
    state: KeyState,
    now: Time,
) -> Result<(), DbErr> {
    let mut change = signing_key::ActiveModel {
        state: Set(state.code()),
        state_time: Set(now),
        ..Default::default()
    };
    if state > KeyState::Current {
        change.sealed_private_key = Set(Vec::new());
    }
    signing_key::Entity::update_many()
        .set(change)
        .filter(signing_key::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

/// The version of the terms in force. 0 for none.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn terms_version(conn: &impl ConnectionTrait) -> Result<i32, DbErr> {
    let newest: Option<i32> = terms::Entity::find()
        .select_only()
        .column(terms::Column::Version)
        .order_by_desc(terms::Column::Version)
        .limit(1)
        .into_tuple()
        .one(conn)
        .await?;
    Ok(newest.unwrap_or(0))
}

/// What has ended after `since`, in the order of ids.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn ended_since(
    conn: &impl ConnectionTrait,
    since: Time,
) -> Result<Vec<ended::Model>, DbErr> {
    ended::Entity::find()
        .filter(ended::Column::EndTime.gt(since))
        .order_by_asc(ended::Column::Id)
        .all(conn)
        .await
}
