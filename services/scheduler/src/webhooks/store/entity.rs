//! The tables, as sea-orm sees them. The migration is the authority.

/// Where messages go.
pub mod endpoint {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "webhook_endpoint")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub owner: String,
        pub slot: Option<i16>,
        #[sea_orm(column_type = "Text")]
        pub url: String,
        pub events: i32,
        pub wants_progress: bool,
        pub job_id: Option<Uuid>,
        #[sea_orm(column_type = "Text")]
        pub secret: String,
        #[sea_orm(column_type = "Text", nullable)]
        pub former_secret: Option<String>,
        pub enabled: bool,
        pub consecutive_failures: i32,
        pub openings: i32,
        pub paused_until: Option<ChronoDateTimeUtc>,
        pub next_due: Option<ChronoDateTimeUtc>,
        pub expire_time: Option<ChronoDateTimeUtc>,
        pub create_time: ChronoDateTimeUtc,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Endpoint")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What happened, as it is told; rows that are not relayed are the outbox.
pub mod message {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "webhook_message")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub owner: String,
        pub job_id: Uuid,
        pub seq: i64,
        pub event: i16,
        #[sea_orm(column_type = "Text")]
        pub body: String,
        pub create_time: ChronoDateTimeUtc,
        pub is_relayed: bool,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A message on its way to an endpoint, and how it went.
pub mod delivery {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "webhook_delivery")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub endpoint_id: Uuid,
        pub owner: String,
        pub message_id: Uuid,
        pub job_id: Uuid,
        pub event: i16,
        pub state: i16,
        pub attempts: i32,
        pub failures: i32,
        pub last_status: i32,
        pub last_error: String,
        pub is_leased: bool,
        pub create_time: ChronoDateTimeUtc,
        pub next_attempt_time: ChronoDateTimeUtc,
        pub last_attempt_time: Option<ChronoDateTimeUtc>,
        pub give_up_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// When a duty is next due. Whoever moves the time on does it.
pub mod pass {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "webhook_pass")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub next_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
