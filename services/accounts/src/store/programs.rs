//! Service accounts.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, Select,
};
use uuid::Uuid;

use super::entity::programs::service_account;
use crate::domain::Time;

/// A service account that has not been deleted.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn find(
    conn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<service_account::Model>, DbErr> {
    service_account::Entity::find_by_id(id)
        .filter(service_account::Column::DeleteTime.is_null())
        .one(conn)
        .await
}

/// Adds one.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn insert(
    tx: &impl ConnectionTrait,
    program: service_account::Model,
) -> Result<(), DbErr> {
    service_account::Entity::insert(program.into_active_model())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Those of an organisation, oldest first.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn list(
    conn: &impl ConnectionTrait,
    organisation: Uuid,
) -> Result<Vec<service_account::Model>, DbErr> {
    of(organisation)
        .order_by_asc(service_account::Column::CreateTime)
        .order_by_asc(service_account::Column::Id)
        .all(conn)
        .await
}

/// How many an organisation has.
///
/// # Errors
/// [`DbErr`] when the database does not answer.
pub async fn count(conn: &impl ConnectionTrait, organisation: Uuid) -> Result<u64, DbErr> {
    of(organisation).count(conn).await
}

/// Deletes one. Its keys are the caller's matter.
///
/// # Errors
/// [`DbErr`] when the database refuses it.
pub async fn delete(tx: &impl ConnectionTrait, id: Uuid, now: Time) -> Result<(), DbErr> {
    service_account::Entity::update_many()
        .col_expr(service_account::Column::DeleteTime, Expr::value(now))
        .filter(service_account::Column::Id.eq(id))
        .exec(tx)
        .await?;
    Ok(())
}

fn of(organisation: Uuid) -> Select<service_account::Entity> {
    service_account::Entity::find()
        .filter(service_account::Column::OrganisationId.eq(organisation))
        .filter(service_account::Column::DeleteTime.is_null())
}
