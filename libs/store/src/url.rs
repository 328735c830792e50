//! Where the database is.

use std::fmt;
use std::str::FromStr;

use crate::StoreError;

/// The URL of a database: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`.
///
/// It may hold a password, so that neither `Debug` nor `Display` shows more than the engine.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    engine: Engine,
}

/// The engines behind a [`DatabaseUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
}

impl DatabaseUrl {
    /// The whole text, with its password: for opening connections, and for nothing that is shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether it names a PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.engine == Engine::Postgres
    }

    pub(crate) const fn engine(&self) -> Engine {
        self.engine
    }
}

impl FromStr for DatabaseUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let engine = match text.split_once("://") {
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => Engine::Postgres,
            Some(("sqlite", rest)) if !rest.is_empty() => Engine::Sqlite,
            _ => return Err(StoreError::InvalidUrl),
        };
        Ok(Self {
            text: text.to_owned(),
            engine,
        })
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.engine {
            Engine::Postgres => f.write_str("postgres://…"),
            Engine::Sqlite => f.write_str("sqlite://…"),
        }
    }
}
