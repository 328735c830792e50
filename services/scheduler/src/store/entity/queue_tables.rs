//! Queues, workers and duties.

/// Shares and limits of tenants.
pub mod tenant {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tenant")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub weight: i32,
        pub max_running: Option<i32>,
        pub max_queued: Option<i32>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// How fast a model is.
pub mod pace {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "pace")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub model: String,
        pub nanos_per_unit: f64,
        pub samples: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The workers that have attached, and when they were last heard.
pub mod worker {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
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
        pub instance: String,
        pub pool: String,
        pub protocol: i32,
        pub cordoned: bool,
        pub drain_ordered: bool,
        pub attached: bool,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub resident_models: Option<Json>,
        pub memory_total: i64,
        pub memory_free: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The catalogue that workers announced.
pub mod model {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
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
        /// Whose upload it is. None for everything else.
        pub uploader: Option<String>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Holds whose end is known, and those of jobs that are about to be stored.
pub mod settlement {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "settlement")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub job_id: Uuid,
        pub action: String,
        pub lease: i64,
        pub credits: i64,
        pub is_planned: bool,
        pub owner: Option<String>,
        pub request: Option<String>,
        pub attempts: i32,
        pub next_at: ChronoDateTimeUtc,
        pub create_time: ChronoDateTimeUtc,
        pub end_time: Option<ChronoDateTimeUtc>,
        pub failure: Option<String>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
