//! Terms, signing keys, what has ended, and the audit log. The migration is the authority.

/// A version of the terms of use.
pub mod terms {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "terms")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: i32,
        pub sha256: String,
        #[sea_orm(column_type = "Text")]
        pub body: String,
        pub publish_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Who accepted which version. Never changed.
pub mod terms_acceptance {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "terms_acceptance")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub user_id: Uuid,
        pub version: i32,
        pub sha256: String,
        pub time: ChronoDateTimeUtc,
        pub address: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A key that signs tokens.
pub mod signing_key {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "signing_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// The kid.
        pub id: Uuid,
        /// 1 standby, 2 current, 3 previous, 4 revoked.
        pub state: i16,
        pub sealed_private_key: Vec<u8>,
        /// 32 bytes.
        pub public_key: Vec<u8>,
        pub create_time: ChronoDateTimeUtc,
        pub state_time: ChronoDateTimeUtc,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("signing_key")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Sessions, keys and subjects whose tokens are refused before they expire.
pub mod ended {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "ended")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub end_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What was done. Never changed.
pub mod audit {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// UUIDv7: grows with time.
        pub id: Uuid,
        pub time: ChronoDateTimeUtc,
        pub actor: String,
        pub subject: Option<Uuid>,
        pub action: String,
        pub succeeded: bool,
        /// No secret, no address of mail.
        pub detail: String,
        pub address: String,
        pub user_agent: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
