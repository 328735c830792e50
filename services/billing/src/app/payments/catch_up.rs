//! What happened at Stripe and no webhook brought.

use chrono::TimeDelta;
use kinora_stripe_gateway::{Event, EventKind, Span};

use crate::app::App;
use crate::domain::Time;
use crate::error::Error;
use crate::store::stripe_cursors::{self, List};
use crate::store::stripe_events;

/// Stripe keeps events for so long.
const KEPT: TimeDelta = TimeDelta::days(30);

/// Before the last look events are looked for again: Stripe may list one late.
const OVERLAP: TimeDelta = TimeDelta::hours(1);

/// What is younger may have a webhook that is on its way.
const ON_ITS_WAY: TimeDelta = TimeDelta::minutes(1);

/// Lists are read in spans of this length, oldest first, so that who is stopped goes on from there.
const STEP: TimeDelta = TimeDelta::days(1);

/// By which Stripe's clock may be ahead of ours.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// All from `from` until now in spans, oldest first.
pub(super) fn spans(from: Time, now: Time) -> Vec<Span> {
    let end = now + AHEAD;
    let mut spans = Vec::new();
    let mut from = from;
    while from < end {
        let until = (from + STEP).min(end);
        spans.push(Span { from, until });
        from = until;
    }
    spans
}

impl App {
    /// Asks Stripe what happened since it was asked last, keeps in the inbox what is not there, and answers how many events
    /// that were.
    ///
    /// # Errors
    /// [`crate::domain::refusal::Refusal::PaymentsDisabled`], [`Error::Stripe`], [`Error::Database`]. What was kept until then
    /// stays, and the next call goes on from there.
    pub(crate) async fn catch_up(&self) -> Result<u64, Error> {
        let now = self.now();
        let asked = stripe_cursors::find(self.store.reader(), List::Events).await?;
        let kept = now - KEPT;
        let from = asked.map_or(kept, |asked| (asked - OVERLAP).max(kept));
        if asked.is_some_and(|asked| asked < kept) {
            tracing::warn!("stripe was not asked for so long that it has forgotten events");
        }
        let mut found = 0;
        for span in spans(from, now) {
            found += self.keep_events_of(&span).await?;
            let tx = self.store.begin().await?;
            stripe_cursors::advance(&tx, List::Events, span.until.min(now)).await?;
            tx.commit().await?;
        }
        if found > 0 {
            tracing::info!(
                found,
                "stripe was asked for events that no webhook had brought"
            );
            self.payment_wake.notify_one();
        }
        Ok(found)
    }

    async fn keep_events_of(&self, span: &Span) -> Result<u64, Error> {
        let payments = self.payments()?;
        let mut found = 0;
        let mut after = None;
        loop {
            let page = payments.gateway.list_events(span, after.as_ref()).await?;
            found += self.keep_events(&page.items).await?;
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// In one transaction.
    async fn keep_events(&self, events: &[Event]) -> Result<u64, Error> {
        let now = self.now();
        let (mut found, mut missed) = (0, 0);
        let tx = self.store.begin().await?;
        for event in events {
            if event.kind == EventKind::Other || !stripe_events::insert(&tx, event, now).await? {
                continue;
            }
            found += 1;
            if event.created < now - ON_ITS_WAY {
                missed += 1;
            }
        }
        tx.commit().await?;
        if self.payments()?.has_webhooks {
            self.metrics.payments.missed(missed);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn spans_leave_nothing_out_and_go_beyond_now() {
        let now = time("2026-11-22T12:00:00Z");
        let spans = spans(time("2026-11-20T11:00:00Z"), now);
        assert_eq!(spans.len(), 3);
        assert_eq!(spans[0].from, time("2026-11-20T11:00:00Z"));
        for pair in spans.windows(2) {
            assert_eq!(pair[0].until, pair[1].from);
        }
        assert_eq!(spans[2].until, now + AHEAD);
    }

    #[test]
    fn a_clock_that_was_set_back_leads_to_no_span() {
        let now = time("2026-11-22T12:00:00Z");
        assert_eq!(spans(now + TimeDelta::days(1), now), []);
    }
}
