//! Journeys and faults against the real mesh
