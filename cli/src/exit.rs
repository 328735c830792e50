//! How a command ends: an exit status that scripts can tell apart.

use std::fmt;

use crate::client::ApiError;

/// The exit statuses of `kinora`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// The job, or something on this machine, failed.
    Failed = 1,
    /// The request or the command line is wrong.
    Usage = 2,
    /// No mesh can be reached or started.
    Unreachable = 3,
    /// A limit is reached; the same command may succeed later.
    Busy = 4,
    /// The person interrupted it.
    Interrupted = 130,
}

/// Why a command failed, and with which status.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: Status,
    /// What went wrong, with its causes.
    pub error: anyhow::Error,
}

impl Failure {
    /// Joins a status and an error.
    #[must_use]
    pub fn new(status: Status, error: impl Into<anyhow::Error>) -> Self {
        Self {
            status,
            error: error.into(),
        }
    }

    /// A mistake of the person who typed the command.
    #[must_use]
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Status::Usage, anyhow::anyhow!("{message}"))
    }

    /// The person pressed Ctrl-C.
    #[must_use]
    pub fn interrupted(message: impl fmt::Display) -> Self {
        Self::new(Status::Interrupted, anyhow::anyhow!("{message}"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Status::Failed, error)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let status = match &error {
            ApiError::Unreachable { .. } => Status::Unreachable,
            ApiError::Refused(problem) if problem.status >= 500 => Status::Unreachable,
            ApiError::Refused(problem) if problem.status == 429 => Status::Busy,
            ApiError::Refused(_) => Status::Usage,
            ApiError::Protocol(_) | ApiError::Local(_) => Status::Failed,
        };
        Self::new(status, error)
    }
}

#[cfg(test)]
mod tests {
    use kinora_edge::problem::{ErrorObject, ProblemDocument};

    use super::*;

    fn refused(status: u16) -> Failure {
        let document = ProblemDocument {
            kind: String::new(),
            title: String::new(),
            status,
            detail: String::new(),
            instance: String::new(),
            reason: String::new(),
            metadata: std::collections::BTreeMap::new(),
            errors: Vec::new(),
            request_id: String::new(),
            error: ErrorObject::default(),
        };
        ApiError::Refused(Box::new(document)).into()
    }

    #[test]
    fn refusals_are_usage_and_trouble_is_unreachable() {
        assert_eq!(refused(400).status, Status::Usage);
        assert_eq!(refused(404).status, Status::Usage);
        assert_eq!(refused(429).status, Status::Busy);
        assert_eq!(refused(503).status, Status::Unreachable);
    }
}
