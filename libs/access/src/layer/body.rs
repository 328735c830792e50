//! Streams that end when their callers may call no more.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::StreamExt;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;
use tonic::Status;

use crate::error::Refusal;
use crate::token::TokenError;
use crate::trust::{News, Standing};

/// The body of an answer. A stream's is cut off between two messages, with the status of a refusal, once its caller may
/// call no more.
///
/// A message costs it one look at a number that changes with the trust bundle. The bundle itself is looked at when it has
/// changed, for which a stream that has nothing to say is woken.
pub struct WatchedBody<B> {
    /// None once it was cut off.
    body: Option<B>,
    watch: Option<Watch>,
}

/// What says whether a caller may go on.
pub(super) struct Watch {
    standing: Standing,
    /// When the token was checked.
    since: Instant,
    news: watch::Receiver<Option<News>>,
    /// Wakes who waits. None when nothing will come any more.
    wake: Option<WatchStream<Option<News>>>,
}

impl<B> WatchedBody<B> {
    /// Without a watch it is the body itself.
    pub(super) const fn new(body: B, watch: Option<Watch>) -> Self {
        let body = Some(body);
        Self { body, watch }
    }
}

impl Watch {
    /// Begins with what is known now: the token may have been checked against an older bundle.
    pub(super) fn new(
        standing: Standing,
        since: Instant,
        mut news: watch::Receiver<Option<News>>,
    ) -> Self {
        let wake = Some(WatchStream::from_changes(news.clone()));
        news.mark_changed();
        Self {
            standing,
            since,
            news,
            wake,
        }
    }

    /// Why the stream must end.
    fn refusal(&mut self) -> Option<Refusal> {
        // Closed when the service stops asking, which is when it ends.
        if !self.news.has_changed().unwrap_or(false) {
            return None;
        }
        let news = self.news.borrow_and_update();
        let news = news.as_ref()?;
        if news.bundle.has_ended(&self.standing) {
            Some(Refusal::Token(TokenError::Revoked))
        } else if news.known_since > self.since {
            Some(Refusal::TrustUnavailable)
        } else {
            None
        }
    }

    /// Whether there may be news. If not, `context` is woken with them.
    fn poll_news(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(wake) = &mut self.wake else {
            return Poll::Pending;
        };
        match wake.poll_next_unpin(context) {
            Poll::Ready(Some(_)) => Poll::Ready(()),
            Poll::Ready(None) => {
                self.wake = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<B: Body + Unpin> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        loop {
            let this = &mut *self;
            let refusal = this.watch.as_mut().and_then(Watch::refusal);
            if let Some(refusal) = refusal {
                return Poll::Ready(this.cut_off(refusal).map(Ok));
            }
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            let polled = Pin::new(body).poll_frame(context);
            // Who has nothing to say waits for news as well, and they may have come meanwhile.
            let has_news = |watch: &mut Watch| watch.poll_news(context).is_ready();
            if polled.is_ready() || !this.watch.as_mut().is_some_and(has_news) {
                return polled;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.body, &self.watch) {
            (Some(body), None) => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl<B: Body> WatchedBody<B> {
    /// Lets the handler's stream go and says why. Nothing more is said to a stream that is over.
    fn cut_off(&mut self, refusal: Refusal) -> Option<Frame<B::Data>> {
        self.watch = None;
        self.body.take()?;
        tracing::debug!(%refusal, "an open stream was cut off");
        let mut trailers = HeaderMap::new();
        // The code comes first, and stands there also if the rest is no text for a header.
        let _ = Status::from(refusal).add_header(&mut trailers);
        Some(Frame::trailers(trailers))
    }
}

#[cfg(test)]
mod tests;
