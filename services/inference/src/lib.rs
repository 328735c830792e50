//! The worker that owns a device and generates clips
