//! What a file must be, as far as anybody says, and what the bytes that are there are worth.

use super::Download;
use crate::part::PartFile;
use crate::record::Trust;

impl Download {
    /// The digest that the file must have, as far as anybody says. The hub's word goes before that of a record.
    pub(super) fn expected(&self) -> Option<String> {
        let recorded = self.recorded.as_ref().map(|record| &record.sha256);
        let digests = [
            self.file.sha256.as_ref(),
            self.promise.sha256.as_ref(),
            recorded,
        ];
        digests.into_iter().flatten().next().cloned()
    }

    /// The size that the file must have, as far as anybody says.
    pub(super) fn size(&self) -> Option<u64> {
        let recorded = self.recorded.as_ref().map(|record| record.size);
        self.file.size.or(self.promise.size).or(recorded)
    }

    /// What the digest of a good file was checked against: whatever [`Download::expected`] is from.
    pub(super) fn trust(&self) -> Trust {
        match (&self.file.sha256, &self.promise.sha256, &self.recorded) {
            (Some(_), _, _) => Trust::Catalogue,
            (None, Some(_), _) => Trust::Hub,
            (None, None, Some(record)) => record.trust,
            (None, None, None) => Trust::FirstUse,
        }
    }

    /// Whether nobody has to be asked before the digest is compared.
    pub(super) fn is_complete(&self, part: &PartFile) -> bool {
        let Some(expected) = self.expected().filter(|_| self.useless.is_none()) else {
            return false;
        };
        match self.size() {
            Some(size) => size == part.length(),
            None => part.length() > 0 && part.digest() == expected,
        }
    }

    /// Finds out whether the bytes can be continued. They stay until the source has answered.
    pub(super) fn judge(&mut self, part: &PartFile) {
        if part.length() == 0 || self.useless.is_some() {
            return;
        }
        let is_too_long = self.size().is_some_and(|size| part.length() > size);
        let is_vouched_for = !self.has_old_bytes && self.promise.etag.is_some();
        let reason = if is_too_long {
            "there are more bytes than the file has"
        } else if self.expected().is_none() && !is_vouched_for {
            "nothing says whether the file is still the same"
        } else if part.is_shared() {
            "its bytes have another name, under which they must stay as they are"
        } else {
            return;
        };
        self.useless = Some(reason.to_owned());
    }
}
