//! The seam between the engines: hot statements are written once, and what differs is put in here.
//!
//! Both engines take numbered parameters (`$1`), partial indices, `ON CONFLICT` and correlated subqueries. Row locks and
//! arrays are PostgreSQL's alone: SQLite has one writer, and takes a list of parameters where PostgreSQL takes an array.

use sea_orm::{DbBackend, Statement, Value};
use uuid::Uuid;

/// A statement in the making.
pub struct Sql {
    backend: DbBackend,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub fn new(backend: DbBackend, text: &str) -> Self {
        Self {
            backend,
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    /// Adds text.
    #[must_use]
    pub fn then(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self.text.push_str(&format!("${}", self.values.len()));
        self
    }

    /// Adds the condition that what stands before is one of `values`.
    #[must_use]
    pub fn any<T: Into<Value>>(mut self, values: Vec<T>) -> Self
    where
        Vec<T>: Into<Value>,
    {
        if self.backend == DbBackend::Postgres {
            return self.then(" = ANY(").bind(values).then(")");
        }
        self.text.push_str(" IN (");
        for (position, value) in values.into_iter().enumerate() {
            if position > 0 {
                self.text.push_str(", ");
            }
            self = self.bind(value);
        }
        self.then(")")
    }

    /// As [`Sql::any`], of ids.
    #[must_use]
    pub fn any_id(self, ids: impl IntoIterator<Item = Uuid>) -> Self {
        self.any(ids.into_iter().collect::<Vec<_>>())
    }

    /// As [`Sql::any`], of names.
    #[must_use]
    pub fn any_name<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.any(names.into_iter().map(str::to_owned).collect::<Vec<_>>())
    }

    /// Puts text around.
    #[must_use]
    pub fn wrap(mut self, before: &str, after: &str) -> Self {
        self.text.insert_str(0, before);
        self.then(after)
    }

    /// Adds a row lock where rows can be locked.
    #[must_use]
    pub fn locked(self, lock: &str) -> Self {
        if self.backend == DbBackend::Postgres {
            self.then(lock)
        } else {
            self
        }
    }

    pub fn build(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.text, self.values)
    }
}

/// Waits for other transactions that have the rows.
pub const FOR_UPDATE: &str = " FOR UPDATE";

/// Leaves rows out that others have.
pub const SKIP_LOCKED: &str = " FOR UPDATE SKIP LOCKED";

/// Keeps rows from being changed until the end of the transaction.
pub const FOR_SHARE: &str = " FOR SHARE";
