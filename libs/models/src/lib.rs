//! Model families, samplers, schedules and pipelines
