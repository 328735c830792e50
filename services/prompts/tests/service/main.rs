//! The prompts service, started for real and called through its generated clients.

mod always;
mod harness;
mod llm;
mod moderation;
mod prepare;
mod reviews;
mod servers;
