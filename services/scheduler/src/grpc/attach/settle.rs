//! Dealing with what a worker has reported, one lease beside the other.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kinora_ids::LeaseRef;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_response::Message as Down;

use super::inbox::{Ending, Reports};
use super::{Session, revocation};
use crate::error::Error;
use crate::grpc::convert::lease_to_pb;

/// Leases of a worker whose reports are written at a time. One stream must not take all connections to the database.
const MAX_CONCURRENT: usize = 4;

impl Session {
    /// Deals with reports until there are no more.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                next = self.inbox.next(), if running.len() < MAX_CONCURRENT => match next {
                    Some((lease, reports)) => running.push(self.deal_with(lease, reports)),
                    None => return Ok(()),
                },
                Some(done) = running.next() => done?,
            }
        }
    }

    async fn deal_with(&self, lease: LeaseRef, reports: Reports) -> Result<(), Error> {
        let has_ended = reports.ending.is_some();
        let stands = self.seat.stands(lease) && self.record(lease, &reports).await?;
        match reports.ending {
            Some(ending) => {
                let accepted = stands && self.end(lease, ending).await?;
                self.seat.settle(lease);
                let lease = Some(lease_to_pb(lease));
                self.send(Down::Receipt(pb::Receipt { lease, accepted }))
                    .await;
            }
            None if !stands && self.seat.stop(lease, true) => {
                self.send(revocation(lease)).await;
            }
            None => {}
        }
        // A worker that has left is noticed by whoever reads.
        self.inbox.done(lease, has_ended || !stands);
        Ok(())
    }

    /// Records how far an attempt is. False when the lease does not stand.
    async fn record(&self, lease: LeaseRef, reports: &Reports) -> Result<bool, Error> {
        if let Some(checkpoint) = reports.checkpoint.clone() {
            let recorded = self.app.checkpoint(self.reporter(lease), checkpoint);
            // The end of a completed job may be repeated, with a checkpoint that came too late.
            if !recorded.await? && reports.ending.is_none() {
                return Ok(false);
            }
        }
        let Some(progress) = reports.progress.clone() else {
            return Ok(true);
        };
        let progress = self.seat.advance(lease, progress);
        let preview = reports.preview.clone();
        self.app
            .progress(self.reporter(lease), progress, preview)
            .await
    }

    /// Ends an attempt. False when the lease does not stand.
    async fn end(&self, lease: LeaseRef, ending: Ending) -> Result<bool, Error> {
        let from = self.reporter(lease);
        match ending {
            Ending::Completed(outputs, device_time) => {
                self.app.complete(from, outputs, device_time).await
            }
            Ending::Failed(failure, device_time) => self.app.fail(from, failure, device_time).await,
        }
    }
}
