//! Organisations, their programs, and API keys. The migration is the authority.

/// A group of people that owns things together.
pub mod organisation {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "organisation")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub create_time: ChronoDateTimeUtc,
        pub delete_time: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Who is in which organisation.
pub mod membership {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "membership")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub organisation_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: Uuid,
        /// 1 member, 2 admin, 3 owner.
        pub role: i16,
        pub join_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Somebody who was asked to join.
pub mod invitation {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "invitation")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub organisation_id: Uuid,
        pub email: String,
        pub email_key: String,
        pub role: i16,
        /// Unique.
        pub code_sha256: Vec<u8>,
        pub invited_by: Uuid,
        pub create_time: ChronoDateTimeUtc,
        pub expire_time: ChronoDateTimeUtc,
        pub accept_time: Option<ChronoDateTimeUtc>,
        pub revoke_time: Option<ChronoDateTimeUtc>,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("invitation")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A program of an organisation.
pub mod service_account {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "service_account")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub organisation_id: Uuid,
        pub name: String,
        pub create_time: ChronoDateTimeUtc,
        pub delete_time: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A key of a person or a program.
pub mod api_key {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub secret_sha256: Vec<u8>,
        /// Whose it is, unless a service account has it.
        pub user_id: Option<Uuid>,
        pub service_account_id: Option<Uuid>,
        /// For which it acts.
        pub organisation_id: Option<Uuid>,
        pub name: String,
        pub hint: String,
        /// Space-separated.
        pub scopes: String,
        pub create_time: ChronoDateTimeUtc,
        pub expire_time: Option<ChronoDateTimeUtc>,
        /// To the minute.
        pub last_use_time: Option<ChronoDateTimeUtc>,
        pub revoke_time: Option<ChronoDateTimeUtc>,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("api_key")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
