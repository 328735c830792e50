//! The contracts between services: generated code and the descriptor set.
//!
//! Every message is documented in `proto/`; the generated items carry those comments.

/// The encoded `FileDescriptorSet` of all contracts.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Jobs, and the workers that run them.
pub mod scheduler {
    /// Version 1 of the scheduler's contract.
    #[expect(
        missing_docs,
        clippy::large_enum_variant,
        clippy::missing_errors_doc,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    pub mod v1 {
        tonic::include_proto!("kinora.scheduler.v1");
    }
}
