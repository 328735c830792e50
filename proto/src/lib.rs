//! The contracts between services: generated code and the descriptor set.
//!
//! Every message is documented in `proto/`; the generated items carry those comments.

/// The encoded `FileDescriptorSet` of all contracts.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What methods want of their callers: options of the contracts.
pub mod access {
    /// Version 1 of these options.
    #[expect(missing_docs, reason = "generated code")]
    pub mod v1 {
        tonic::include_proto!("kinora.access.v1");
    }
}

/// People, programs and organisations, and what proves who calls.
pub mod accounts {
    /// Version 1 of the accounts' contract.
    #[expect(
        missing_docs,
        clippy::missing_errors_doc,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    pub mod v1 {
        tonic::include_proto!("kinora.accounts.v1");
    }
}

/// Credits: what jobs cost, who pays, and where it comes from.
pub mod billing {
    /// Version 1 of the billing contract.
    #[expect(
        missing_docs,
        clippy::missing_errors_doc,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    pub mod v1 {
        tonic::include_proto!("kinora.billing.v1");
    }
}

/// What people type, made ready for models, and whether it may be generated.
pub mod prompts {
    /// Version 1 of the prompts' contract.
    #[expect(
        missing_docs,
        clippy::missing_errors_doc,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    pub mod v1 {
        tonic::include_proto!("kinora.prompts.v1");
    }
}

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
