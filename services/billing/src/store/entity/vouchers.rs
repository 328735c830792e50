//! Campaigns, vouchers, who redeemed them, wrong codes, and the audit log. The migration is the authority.

/// Codes that were made together.
pub mod campaign {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "campaigns")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        /// Who made it, and the request id.
        pub request: Option<String>,
        pub request_sha256: String,
        pub count: i32,
        pub credits: i64,
        pub access: bool,
        /// Empty for none.
        pub plan: String,
        pub max_uses: i32,
        pub per_user: i32,
        pub start_time: ChronoDateTimeUtc,
        pub expire_time: Option<ChronoDateTimeUtc>,
        pub grant_expire_time: Option<ChronoDateTimeUtc>,
        #[sea_orm(column_type = "Text")]
        pub notes: String,
        pub create_time: ChronoDateTimeUtc,
        pub disable_time: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One code.
pub mod voucher {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "vouchers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub campaign: String,
        /// Unique.
        pub code_hmac: Vec<u8>,
        /// The end of the code.
        pub hint: String,
        pub uses: i32,
        pub max_uses: i32,
        pub disable_time: Option<ChronoDateTimeUtc>,
        pub last_use_time: Option<ChronoDateTimeUtc>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// How much of a campaign a person has redeemed.
pub mod share {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "voucher_shares")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub campaign: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: Uuid,
        pub redemptions: i32,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a person got for a code.
pub mod redemption {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "redemptions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub voucher_id: Uuid,
        pub user_id: Uuid,
        /// Counts what the person redeemed of this voucher, from 1.
        pub ordinal: i32,
        pub campaign: String,
        pub hint: String,
        /// Who got the credits and the plan.
        pub payer: String,
        pub grant_id: Option<Uuid>,
        pub credits: i64,
        pub access: bool,
        pub plan: String,
        pub create_time: ChronoDateTimeUtc,
        pub expire_time: Option<ChronoDateTimeUtc>,
        pub claw_back_time: Option<ChronoDateTimeUtc>,
        /// Credits that were left then.
        pub clawed_back: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Wrong codes of a person, or from a network.
pub mod tries {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "voucher_tries")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub failures: i32,
        pub last_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What was done, and by whom. Never changed.
pub mod audit {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "billing_audit")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// UUIDv7: grows with time.
        pub id: Uuid,
        pub time: ChronoDateTimeUtc,
        pub actor: String,
        pub action: String,
        pub target: String,
        pub result: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
