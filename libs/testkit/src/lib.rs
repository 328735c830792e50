//! For tests only: databases, waits, the small world and its checker
