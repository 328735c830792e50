//! How a download says what is wrong.

use super::Download;
use crate::error::StoreError;
use crate::origin::Location;

impl Download {
    pub(super) fn refused(&self, reason: String) -> StoreError {
        StoreError::Refused {
            path: self.file.path.clone(),
            location: self.place_name(),
            reason,
        }
    }

    pub(super) fn mismatch(&self, expected: String, found: String) -> StoreError {
        StoreError::DigestMismatch {
            id: self.job.entry.id.clone(),
            path: self.file.path.clone(),
            expected,
            found,
            location: self.place_name(),
        }
    }

    pub(super) fn wrong_size(
        &self,
        expected: u64,
        found: String,
        location: &Location,
    ) -> StoreError {
        StoreError::SizeMismatch {
            path: self.file.path.clone(),
            expected,
            found,
            location: location.to_string(),
        }
    }

    pub(super) fn place_name(&self) -> String {
        self.places
            .get(self.place)
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}
