//! Transfers and their entries, holds and their parts. The migration is the authority.

/// A movement of credits. Never changed.
pub mod transfer {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "transfers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// UUIDv5 of the key.
        pub id: Uuid,
        /// Unique.
        pub key: String,
        /// SHA-256 of what was asked for.
        pub body_hash: Vec<u8>,
        /// 1 grant, 2 hold, 3 capture, 4 release, 5 refund, 6 adjust, 7 expire.
        pub kind: i16,
        pub payer: String,
        pub job_id: Option<Uuid>,
        pub user_id: Option<Uuid>,
        pub note: String,
        pub create_time: ChronoDateTimeUtc,
        /// UUIDv7: grows with time, and is the order in which a payer's transfers are shown.
        pub seq: Uuid,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What an account gains by a transfer. Never changed.
pub mod entry {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "entries")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub transfer_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub line: i16,
        pub account: String,
        pub amount: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Credits that are set aside for a job, or were.
pub mod hold {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "holds")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub job_id: Uuid,
        pub payer: String,
        pub user_id: Uuid,
        pub model: String,
        pub width: i32,
        pub height: i32,
        pub frames: i32,
        pub fps: i32,
        pub steps: i32,
        pub audio: bool,
        /// 1 interactive, 2 standard, 3 batch.
        pub tier: i16,
        pub credits: i64,
        pub preview_credits: i64,
        pub price_book: i32,
        pub window_start: ChronoDateTimeUtc,
        pub window_end: ChronoDateTimeUtc,
        /// 1 open, 2 captured, 3 released, 4 expired.
        pub state: i16,
        pub captured: i64,
        pub refunded: i64,
        pub lease: Option<i64>,
        pub create_time: ChronoDateTimeUtc,
        pub expire_time: ChronoDateTimeUtc,
        pub settle_time: Option<ChronoDateTimeUtc>,
        /// `YYYY-MM-DD` of `settle_time`, in UTC.
        pub settle_day: Option<String>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// From which grant how much of a hold came.
pub mod hold_part {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "hold_parts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub job_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        /// In the order in which grants were spent.
        pub n: i16,
        pub grant_id: Uuid,
        pub credits: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
