//! Rows that are good for nothing any more. The audit log and the history of accepted terms are not among them.

use chrono::TimeDelta;
use kinora_access::throttle::FORGET;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
    TryGetable, Value,
};
use uuid::Uuid;

use super::entity::people::{code, flow, known_address, notice, session, throttle};
use super::entity::programs::{api_key, invitation, organisation, service_account};
use super::entity::trust::{ended, signing_key};
use crate::domain::Time;
use crate::domain::session::IDLE;
use crate::domain::signing_key::{KeyState, REMEMBER_ENDED};

/// Clocks of replicas may differ by less than this.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// Sessions that have ended are shown to their owners, in exports, for this long.
const KEEP_SESSIONS: TimeDelta = TimeDelta::days(30);

/// Keys that have ended stand in lists for this long.
const KEEP_KEYS: TimeDelta = TimeDelta::days(90);

/// Organisations and service accounts that were deleted keep their names for this long, and no shorter than their keys
/// stand in lists. After that only ids in the audit log tell of them.
const KEEP_GROUPS: TimeDelta = TimeDelta::days(90);

/// Who was invited is no secret to an organisation for this long after.
const KEEP_INVITATIONS: TimeDelta = TimeDelta::days(30);

/// Where nobody has signed in from for this long, they are strangers again.
const KEEP_NETWORKS: TimeDelta = TimeDelta::days(400);

/// Who asks for a notice asks again for three days at most.
const KEEP_NOTICES: TimeDelta = TimeDelta::days(30);

/// A kind of rows that grow without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Begun and not completed in time, or completed.
    Flows,
    /// Codes of mails that are no longer good.
    Codes,
    /// Ended, or not used for too long.
    Sessions,
    /// Counters that begin anew.
    Throttles,
    /// Networks from which somebody once signed in.
    Networks,
    /// Endings of what has no live token.
    Ended,
    /// Accepted, revoked or never used.
    Invitations,
    /// Revoked or expired.
    ApiKeys,
    /// That have signed.
    SigningKeys,
    /// Deleted, with nothing left in them.
    Organisations,
    /// Deleted, by themselves or with their organisations.
    ServiceAccounts,
    /// Ids of notices that were told.
    Notices,
}

impl Leftover {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Flows,
        Self::Codes,
        Self::Sessions,
        Self::Throttles,
        Self::Networks,
        Self::Ended,
        Self::Invitations,
        Self::ApiKeys,
        Self::SigningKeys,
        Self::Organisations,
        Self::ServiceAccounts,
        Self::Notices,
    ];

    /// Removes up to `most` of them and answers how many they were. Replicas may do so at once.
    ///
    /// # Errors
    /// [`DbErr`] when the database refuses it.
    pub async fn remove(
        self,
        tx: &impl ConnectionTrait,
        now: Time,
        most: u64,
    ) -> Result<u64, DbErr> {
        let over = self.over(now);
        match self {
            Self::Flows => remove::<flow::Entity, Uuid>(tx, flow::Column::Id, over, most).await,
            Self::Codes => remove::<code::Entity, Uuid>(tx, code::Column::Id, over, most).await,
            Self::Sessions => {
                remove::<session::Entity, Uuid>(tx, session::Column::Id, over, most).await
            }
            Self::Throttles => {
                remove::<throttle::Entity, String>(tx, throttle::Column::Key, over, most).await
            }
            Self::Networks => {
                let column = known_address::Column::UserId;
                remove::<known_address::Entity, Uuid>(tx, column, over, most).await
            }
            Self::Ended => remove::<ended::Entity, Uuid>(tx, ended::Column::Id, over, most).await,
            Self::Invitations => {
                remove::<invitation::Entity, Uuid>(tx, invitation::Column::Id, over, most).await
            }
            Self::ApiKeys => {
                remove::<api_key::Entity, Uuid>(tx, api_key::Column::Id, over, most).await
            }
            Self::SigningKeys => {
                remove::<signing_key::Entity, Uuid>(tx, signing_key::Column::Id, over, most).await
            }
            Self::Organisations => {
                remove::<organisation::Entity, Uuid>(tx, organisation::Column::Id, over, most).await
            }
            Self::ServiceAccounts => {
                let column = service_account::Column::Id;
                remove::<service_account::Entity, Uuid>(tx, column, over, most).await
            }
            Self::Notices => {
                remove::<notice::Entity, Uuid>(tx, notice::Column::Id, over, most).await
            }
        }
    }

    fn over(self, now: Time) -> Condition {
        match self {
            Self::Flows => Condition::all().add(flow::Column::ExpireTime.lt(now - SKEW)),
            Self::Codes => Condition::all().add(code::Column::ExpireTime.lt(now - SKEW)),
            Self::Sessions => Condition::any()
                .add(session::Column::EndTime.lt(now - KEEP_SESSIONS))
                .add(session::Column::ExpireTime.lt(now - KEEP_SESSIONS))
                .add(session::Column::LastUseTime.lt(now - IDLE - KEEP_SESSIONS)),
            // No block lasts as long as the memory of it.
            Self::Throttles => {
                Condition::all().add(throttle::Column::LastTime.lt(now - FORGET - SKEW))
            }
            Self::Networks => {
                Condition::all().add(known_address::Column::LastTime.lt(now - KEEP_NETWORKS))
            }
            Self::Ended => {
                Condition::all().add(ended::Column::EndTime.lt(now - REMEMBER_ENDED - SKEW))
            }
            // Mails to an address and of an organisation are counted over a day, by these rows.
            Self::Invitations => {
                Condition::all().add(invitation::Column::ExpireTime.lt(now - KEEP_INVITATIONS))
            }
            Self::ApiKeys => Condition::any()
                .add(api_key::Column::RevokeTime.lt(now - KEEP_KEYS))
                .add(api_key::Column::ExpireTime.lt(now - KEEP_KEYS)),
            Self::SigningKeys => Condition::all()
                .add(signing_key::Column::State.eq(KeyState::Revoked.code()))
                .add(signing_key::Column::StateTime.lt(now - KEEP_KEYS)),
            Self::Organisations => {
                Condition::all().add(organisation::Column::DeleteTime.lt(now - KEEP_GROUPS))
            }
            Self::ServiceAccounts => {
                Condition::all().add(service_account::Column::DeleteTime.lt(now - KEEP_GROUPS))
            }
            Self::Notices => {
                Condition::all().add(notice::Column::CreateTime.lt(now - KEEP_NOTICES))
            }
        }
    }
}

/// Removes up to `most` rows, by a column that names them. Rows that another replica is at are left to it.
async fn remove<E, V>(
    tx: &impl ConnectionTrait,
    column: E::Column,
    over: Condition,
    most: u64,
) -> Result<u64, DbErr>
where
    E: EntityTrait,
    V: TryGetable + Into<Value>,
{
    let names: Vec<V> = E::find()
        .select_only()
        .column(column)
        .filter(over.clone())
        .limit(most)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(tx)
        .await?;
    if names.is_empty() {
        return Ok(0);
    }
    let removed = E::delete_many()
        .filter(column.is_in(names))
        .filter(over)
        .exec(tx)
        .await?;
    Ok(removed.rows_affected)
}
