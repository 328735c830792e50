//! Rows as they are in the tables. The migration is the authority.

/// A prompt that a person has to look at.
pub mod review {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "reviews")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// With `digest` unique.
        pub owner: String,
        pub digest: String,
        pub status: String,
        #[sea_orm(column_type = "Text")]
        pub texts: String,
        #[sea_orm(column_type = "Text")]
        pub findings: String,
        pub requests: i32,
        pub create_time: ChronoDateTimeUtc,
        pub decide_time: Option<ChronoDateTimeUtc>,
        pub decided_by: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub note: String,
        pub purge_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
