//! Typed identifiers shared by services
