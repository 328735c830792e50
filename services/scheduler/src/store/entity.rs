//! The tables, as sea-orm sees them. The migrations are the authority.

/// One row a job.
pub mod job {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "job")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub owner: String,
        pub state: String,
        pub model: String,
        #[sea_orm(column_type = "JsonBinary")]
        pub spec: Json,
        #[sea_orm(column_type = "JsonBinary")]
        pub progress: Json,
        #[sea_orm(column_type = "JsonBinary")]
        pub notes: Json,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub outputs: Option<Json>,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub failure: Option<Json>,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub checkpoint: Option<Json>,
        pub traceparent: Option<String>,
        pub attempt: i32,
        pub failed_attempts: i32,
        pub lease: i64,
        pub seq: i64,
        pub worker_id: Option<String>,
        pub run_at: ChronoDateTimeUtc,
        pub deadline: Option<ChronoDateTimeUtc>,
        pub create_time: ChronoDateTimeUtc,
        pub start_time: Option<ChronoDateTimeUtc>,
        pub end_time: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The durable transitions of a job.
pub mod job_event {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "job_event")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub job_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        pub time: ChronoDateTimeUtc,
        pub state: String,
        pub attempt: i32,
        #[sea_orm(column_type = "JsonBinary")]
        pub progress: Json,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub outputs: Option<Json>,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub failure: Option<Json>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Which job a request id led to.
pub mod submission {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "submission")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub owner: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub request_id: String,
        pub fingerprint: String,
        pub job_id: Uuid,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The workers that have attached, and when they were last heard.
pub mod worker {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "worker")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub session: Uuid,
        pub version: String,
        pub device: String,
        pub slots: i32,
        #[sea_orm(column_type = "JsonBinary")]
        pub models: Json,
        pub draining: bool,
        pub attached_at: ChronoDateTimeUtc,
        pub seen_at: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The catalogue that workers announced.
pub mod model {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "model")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        #[sea_orm(column_type = "JsonBinary")]
        pub card: Json,
        pub announced_at: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Key prefixes whose objects are due for removal.
pub mod object_deletion {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "object_deletion")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub prefix: String,
        pub not_before: ChronoDateTimeUtc,
        pub attempts: i32,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
