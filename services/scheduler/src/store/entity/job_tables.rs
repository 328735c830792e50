//! Jobs and what belongs to them.

/// One row a job. `finished_job` has the same columns.
pub mod job {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "job")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub owner: String,
        pub tenant: String,
        pub model: String,
        pub class: i16,
        pub lane: Uuid,
        pub state: String,
        pub is_ready: bool,
        pub ready_at: ChronoDateTimeUtc,
        pub run_at: ChronoDateTimeUtc,
        pub expire_at: Option<ChronoDateTimeUtc>,
        pub purge_at: Option<ChronoDateTimeUtc>,
        pub deadline: Option<ChronoDateTimeUtc>,
        pub worker_id: Option<String>,
        pub last_worker: Option<String>,
        pub lease: i64,
        pub seq: i64,
        pub attempt: i32,
        pub failed_attempts: i32,
        pub group_id: Option<Uuid>,
        pub group_index: Option<i32>,
        pub unmet: i32,
        pub cost: i64,
        pub pixels: i64,
        pub create_time: ChronoDateTimeUtc,
        pub end_time: Option<ChronoDateTimeUtc>,
        #[sea_orm(column_type = "Text")]
        pub details: String,
        pub held_credits: Option<i64>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The durable transitions of a job.
pub mod job_event {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "job_event")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub job_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        pub time: ChronoDateTimeUtc,
        pub state: String,
        pub attempt: i32,
        #[sea_orm(column_type = "Text")]
        pub details: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Attempts that have ended.
pub mod attempt {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "attempt")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub job_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub lease: i64,
        pub attempt: i32,
        pub worker_id: String,
        pub start_time: ChronoDateTimeUtc,
        pub end_time: ChronoDateTimeUtc,
        pub outcome: String,
        #[sea_orm(column_type = "Text")]
        pub message: String,
        pub first_step: i32,
        pub last_step: i32,
        pub device_time: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Which job waits for which.
pub mod job_need {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "job_need")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub needed: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub waiting: Uuid,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Batches and sequences.
pub mod job_group {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "job_group")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub owner: String,
        pub kind: String,
        pub create_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a request of an owner led to.
pub mod request_key {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "request_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub owner: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub request: String,
        pub fingerprint: String,
        pub job_id: Uuid,
        pub group_id: Option<Uuid>,
        pub expires_at: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
