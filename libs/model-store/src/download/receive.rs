//! Bytes on their way from a source to the disk.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Download, Step, transient};
use crate::error::StoreError;
use crate::fetch::Delivery;
use crate::origin::Location;
use crate::part::PartFile;
use crate::progress::Promise;
use crate::room;

/// Most bytes that are taken for a file whose size nobody announces.
const UNANNOUNCED_LIMIT: u64 = 64 << 20;
/// Chunks that may wait for the disk.
const CHUNKS_AHEAD: usize = 16;
/// Progress in smaller steps is not told.
const TELL_BYTES: u64 = 256 << 10;

impl Download {
    /// Takes what a source sends, never more than was announced.
    pub(super) async fn receive(
        &mut self,
        mut part: PartFile,
        mut delivery: Delivery,
        location: &Location,
    ) -> Result<(PartFile, Step), StoreError> {
        self.note(&delivery, location)?;
        let bound = self.admit(&delivery)?;
        let size = self.file.size.or(delivery.total);
        let useless = self.useless.take();
        if delivery.start != part.length() {
            let reason = "the server sends the file from its beginning only";
            self.restart(&mut part, useless.as_deref().unwrap_or(reason))?;
            self.has_old_bytes = false;
        }
        let (part, end) = self.pour(part, &mut delivery, bound).await?;
        if part.length() > bound {
            part.discard()?;
            return Err(self.wrong_size(bound, "more than that".to_owned(), location));
        }
        let length = part.length();
        let step = match (end, size) {
            (Err(reason), _) => transient(reason),
            (Ok(()), Some(size)) if length < size => {
                transient(format!("the source ended after {length} of {size} bytes"))
            }
            (Ok(()), _) => Step::Complete,
        };
        Ok((part, step))
    }

    /// The most bytes that the file may have. A source that announces them must not fill the volume, whatever the
    /// catalogue leaves open.
    fn admit(&self, delivery: &Delivery) -> Result<u64, StoreError> {
        if let Some(size) = self.file.size {
            return Ok(size);
        }
        let (job, path) = (&self.job, &self.file.path);
        let Some(size) = delivery.total else {
            return Ok(job.allowance.left(path).min(UNANNOUNCED_LIMIT));
        };
        if let Err(left) = job.allowance.claim(path, size) {
            return Err(self.refused(format!(
                "it has {size} bytes there, and the catalogue leaves {left} for it"
            )));
        }
        let needed = size.saturating_sub(delivery.start);
        room::check(job.free_space, &job.folder, &job.entry.id, needed)?;
        Ok(size)
    }

    /// Moves bytes to a thread that writes and hashes, at most one chunk beyond `bound`.
    async fn pour(
        &self,
        part: PartFile,
        delivery: &mut Delivery,
        bound: u64,
    ) -> Result<(PartFile, Result<(), String>), StoreError> {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let mut position = part.length();
        let mut told = position;
        let lock = Arc::clone(&self.job.lock);
        let writer = tokio::task::spawn_blocking(move || {
            let _lock = lock;
            part.append_all(receiver)
        });
        let end = loop {
            let mut chunk = match delivery.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break Ok(()),
                Err(reason) => break Err(reason),
            };
            // One byte too many is enough to know, and to write.
            let room = bound.saturating_sub(position).saturating_add(1);
            chunk.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            position += chunk.len() as u64;
            let is_gone = sender.send(chunk).await.is_err();
            if is_gone || position > bound {
                break Ok(());
            }
            if position - told >= TELL_BYTES || position == bound {
                told = position;
                self.tell_progress(position, Some(bound).filter(|_| self.size().is_some()));
            }
        };
        drop(sender);
        let part = writer
            .await
            .map_err(|error| StoreError::Internal(error.to_string()))??;
        Ok((part, end))
    }

    /// Writes down what the source says about the file, and refuses what the catalogue contradicts.
    fn note(&mut self, delivery: &Delivery, location: &Location) -> Result<(), StoreError> {
        if let (Some(expected), Some(total)) = (self.file.size, delivery.total)
            && expected != total
        {
            return Err(self.wrong_size(expected, total.to_string(), location));
        }
        if let (Some(expected), Some(promised)) = (&self.file.sha256, &delivery.sha256)
            && expected != promised
        {
            return Err(self.mismatch(expected.clone(), promised.clone()));
        }
        let promise = Promise {
            origin: location.to_string(),
            etag: delivery.etag.clone(),
            sha256: delivery.sha256.clone(),
            size: delivery.total,
        };
        if promise != self.promise {
            self.job.journal.note_promise(&self.file.path, &promise)?;
            self.promise = promise;
        }
        Ok(())
    }
}
