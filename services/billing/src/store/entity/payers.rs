//! Payers, their grants, entitlements and what they spent. The migration is the authority.

/// Who pays. The row is the lock on all of a payer's credits.
pub mod payer {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "payers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// `user:<uuid>` or `org:<uuid>`.
        pub payer: String,
        pub create_time: ChronoDateTimeUtc,
        pub held: i64,
        /// Not negative.
        pub debt: i64,
        /// By operators.
        pub is_frozen: bool,
        /// By disputes.
        pub is_disputed: bool,
        pub hard_cap: Option<i64>,
        pub soft_cap: Option<i64>,
        pub plan: Option<String>,
        pub plan_source: Option<String>,
        pub plan_end_time: Option<ChronoDateTimeUtc>,
        /// The key of the last allowance that was given.
        pub allowance: Option<String>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Credits with an origin and an end.
pub mod grant {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "grants")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// UUIDv5 of the key of the transfer that made it.
        pub id: Uuid,
        pub payer: String,
        /// 1 plan, 2 voucher, 3 purchase, 4 goodwill, 5 refund.
        pub origin: i16,
        pub credits: i64,
        pub available: i64,
        pub create_time: ChronoDateTimeUtc,
        pub expire_time: Option<ChronoDateTimeUtc>,
        pub note: String,
        pub user_id: Option<Uuid>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What lets a person generate.
pub mod entitlement {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "entitlements")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub user_id: Uuid,
        pub source: String,
        pub start_time: ChronoDateTimeUtc,
        /// When it ends by itself.
        pub expire_time: Option<ChronoDateTimeUtc>,
        /// When it was taken away.
        pub end_time: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a payer spent in a window.
pub mod window_spend {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "window_spend")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub payer: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub window_start: ChronoDateTimeUtc,
        pub spent: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A part of a soft cap that was reached.
pub mod spend_alert {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "spend_alerts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub payer: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub window_start: ChronoDateTimeUtc,
        #[sea_orm(primary_key, auto_increment = false)]
        /// 50, 80 or 100.
        pub percent: i16,
        pub soft_credits: i64,
        pub spent: i64,
        pub create_time: ChronoDateTimeUtc,
        /// When accounts took it, to be told by mail.
        pub told_time: Option<ChronoDateTimeUtc>,
        pub attempts: i32,
        /// None for one that was told or is given up.
        pub next_attempt_time: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
