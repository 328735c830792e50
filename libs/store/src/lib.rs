//! Connections and transactions on PostgreSQL or SQLite
