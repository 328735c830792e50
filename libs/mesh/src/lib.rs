//! What every service starts with: telemetry, health, drain, status mapping, channels
