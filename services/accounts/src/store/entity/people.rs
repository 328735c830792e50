//! People, how they sign in, and what they are told. The migration is the authority.

/// A person.
pub mod user {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "account_user")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// As it is shown.
        pub email: String,
        /// Lower case, punycode; unique.
        pub email_key: String,
        pub display_name: String,
        #[sea_orm(column_type = "Text", nullable)]
        /// PHC string of argon2id.
        pub password_hash: Option<String>,
        pub password_time: Option<ChronoDateTimeUtc>,
        /// 1 active, 2 disabled, 3 leaving, 4 erased.
        pub state: i16,
        pub is_operator: bool,
        /// Accepted last; 0 for none.
        pub terms_version: i32,
        /// 1 unverified, 2 declared, 3 verified.
        pub age_assurance: i16,
        pub age_method: String,
        pub age_is_adult: bool,
        pub age_time: Option<ChronoDateTimeUtc>,
        pub create_time: ChronoDateTimeUtc,
        pub erase_time: Option<ChronoDateTimeUtc>,
        /// Whether others know the password, which was given with the account, so that it has to be changed.
        pub password_is_initial: bool,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("user")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A code that went out by mail: for a sign-up, a reset, a change of address.
pub mod code {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "code")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// Of the code; unique.
        pub sha256: Vec<u8>,
        /// 1 sign-up, 2 reset, 3 change of address.
        pub purpose: i16,
        /// None for a sign-up.
        pub user_id: Option<Uuid>,
        pub email_key: String,
        #[sea_orm(column_type = "Text", nullable)]
        /// JSON: what takes effect with the code.
        pub payload: Option<String>,
        pub create_time: ChronoDateTimeUtc,
        pub expire_time: ChronoDateTimeUtc,
        pub use_time: Option<ChronoDateTimeUtc>,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("code")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A sign-in that lasts.
pub mod session {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "session")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub user_id: Uuid,
        /// For which it acts.
        pub organisation_id: Option<Uuid>,
        /// HMAC key of its refresh tokens.
        pub refresh_key: Vec<u8>,
        /// Of the newest refresh token.
        pub counter: i64,
        /// When the counter grew last.
        pub rotate_time: ChronoDateTimeUtc,
        /// 1 or 2 factors.
        pub assurance: i16,
        /// Space-separated amr values.
        pub methods: String,
        /// When the first factor was shown last.
        pub auth_time: ChronoDateTimeUtc,
        pub user_agent: String,
        pub address: String,
        pub create_time: ChronoDateTimeUtc,
        pub last_use_time: ChronoDateTimeUtc,
        /// However much it is used.
        pub expire_time: ChronoDateTimeUtc,
        pub end_time: Option<ChronoDateTimeUtc>,
        /// When the second factor was shown last. None when none has to be fresh beside the first.
        pub second_factor_time: Option<ChronoDateTimeUtc>,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("session")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Something begun that another call completes: a second step, a passkey, another provider.
pub mod flow {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "flow")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// Of the token that completes it; unique.
        pub sha256: Vec<u8>,
        /// 1 second step, 2 passkey sign-in, 3 passkey registration, 4 provider sign-in, 5 provider link, 6 age verification.
        pub purpose: i16,
        pub user_id: Option<Uuid>,
        #[sea_orm(column_type = "Text")]
        /// JSON.
        pub payload: String,
        pub tries: i32,
        pub create_time: ChronoDateTimeUtc,
        pub expire_time: ChronoDateTimeUtc,
        pub use_time: Option<ChronoDateTimeUtc>,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("flow")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The secret of time-based codes.
pub mod totp {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "totp")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: Uuid,
        pub sealed_secret: Vec<u8>,
        pub is_confirmed: bool,
        /// No code of this step or before is taken.
        pub last_step: i64,
        pub create_time: ChronoDateTimeUtc,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("totp")
                .field("user_id", &self.user_id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A code for who has lost the second factor.
pub mod recovery_code {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "recovery_code")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub user_id: Uuid,
        pub sha256: Vec<u8>,
        pub use_time: Option<ChronoDateTimeUtc>,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("recovery_code")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A WebAuthn credential.
pub mod passkey {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "passkey")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub user_id: Uuid,
        /// Unique.
        pub credential_id: Vec<u8>,
        #[sea_orm(column_type = "Text")]
        /// JSON of the library.
        pub credential: String,
        pub name: String,
        pub create_time: ChronoDateTimeUtc,
        pub last_use_time: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An account at another provider.
pub mod identity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub user_id: Uuid,
        pub provider: String,
        pub issuer: String,
        /// Unique with the issuer.
        pub subject: String,
        /// For display only.
        pub email: String,
        pub create_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A mail that waits to be sent. Sent ones are removed: they hold codes.
pub mod mail {
    use sea_orm::entity::prelude::*;

    // No `Debug`: the row holds secrets.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mail")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub recipient: String,
        pub subject: String,
        #[sea_orm(column_type = "Text")]
        pub body: String,
        pub attempts: i32,
        pub create_time: ChronoDateTimeUtc,
        pub next_attempt_time: ChronoDateTimeUtc,
        pub give_up_time: ChronoDateTimeUtc,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("mail")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A notice that another service had people told. It is told once.
pub mod notice {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "notice")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// Chosen by who asks.
        pub id: Uuid,
        pub create_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Failures by address, by account, and by both.
pub mod throttle {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "throttle")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// What is counted, hashed.
        pub key: String,
        pub failures: i32,
        pub last_time: ChronoDateTimeUtc,
        pub blocked_until: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Addresses from which somebody has signed in: others cannot lock them out.
pub mod known_address {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "known_address")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub address_sha256: Vec<u8>,
        pub last_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
