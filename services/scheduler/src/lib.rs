//! The service that owns jobs, attempts, leases and workers
