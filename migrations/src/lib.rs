//! Schema migrations, a module per service
