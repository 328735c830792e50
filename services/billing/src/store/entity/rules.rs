//! What operators set. The migration is the authority.

/// Prices from some moment on. Never changed.
pub mod price_book {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "price_books")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: i32,
        pub create_time: ChronoDateTimeUtc,
        #[sea_orm(column_type = "Text")]
        /// JSON.
        pub body: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The window of everybody, if there is one.
pub mod operator_window {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "operator_window")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        /// 1.
        pub id: i16,
        pub start_time: ChronoDateTimeUtc,
        pub end_time: ChronoDateTimeUtc,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
