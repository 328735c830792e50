//! Payers, grants, holds, the ledger, prices and what bounds spending.

mod tables;

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables::tables() {
            manager.create_table(table).await?;
        }
        for index in INDICES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables::NAMES.iter().rev() {
            manager
                .drop_table(Table::drop().table(*table).to_owned())
                .await?;
        }
        Ok(())
    }
}

/// Both engines know partial indices: what has been spent or settled, which is most of it, is not in them.
const INDICES: [&str; 11] = [
    "CREATE INDEX grants_live ON grants (payer) WHERE available > 0",
    "CREATE INDEX grants_ending ON grants (expire_time) WHERE available > 0 AND expire_time IS NOT NULL",
    "CREATE INDEX payers_plan_source ON payers (plan_source) WHERE plan_source IS NOT NULL",
    "CREATE INDEX holds_lapsing ON holds (expire_time) WHERE state = 1",
    "CREATE INDEX holds_open ON holds (create_time, job_id) WHERE state = 1",
    "CREATE INDEX holds_usage ON holds (payer, settle_day, model, user_id) WHERE state = 2",
    "CREATE INDEX transfers_payer ON transfers (payer, seq)",
    "CREATE INDEX transfers_job ON transfers (job_id, seq) WHERE job_id IS NOT NULL",
    "CREATE INDEX entitlements_user ON entitlements (user_id)",
    "CREATE INDEX entitlements_source ON entitlements (source)",
    "CREATE INDEX operator_actions_payer ON operator_actions (payer, id) WHERE payer IS NOT NULL",
];
