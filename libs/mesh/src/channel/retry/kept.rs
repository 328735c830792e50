//! Requests that can be had again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Bytes, Frame};
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;

/// Bytes of a request that are kept for another try.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// What a request can be sent again from.
pub(super) enum Kept {
    /// All of it.
    Whole(Vec<Bytes>),
    /// Itself, as long as nothing was read of it.
    Unread(Arc<Mutex<Option<Body>>>),
}

/// A body that is taken from its owner once something is read of it. What may be sent in part is never sent twice.
struct Lent {
    owner: Arc<Mutex<Option<Body>>>,
    taken: Option<Body>,
}

impl Kept {
    /// The request to send, and what it can be sent again from. One to a method that is safe is short and there at once,
    /// and is read whole; any other is left alone, since it may be a stream that goes on for hours.
    pub(super) async fn of(body: Body, is_safe: bool) -> (Body, Self) {
        if is_safe {
            Self::read(body).await
        } else {
            Self::unread(body)
        }
    }

    /// The request once more. None when a part of it may have been sent, and is not there any more.
    pub(super) fn again(&self) -> Option<Body> {
        match self {
            Self::Whole(chunks) => Some(whole(chunks)),
            Self::Unread(owner) => {
                let is_there = owner.lock().is_some();
                is_there.then(|| Lent::of(owner))
            }
        }
    }

    fn unread(body: Body) -> (Body, Self) {
        let owner = Arc::new(Mutex::new(Some(body)));
        (Lent::of(&owner), Self::Unread(owner))
    }

    async fn read(mut body: Body) -> (Body, Self) {
        let (mut chunks, mut size) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let last = match frame.map(Frame::into_data) {
                Ok(Ok(chunk)) if size + chunk.len() <= MAX_KEPT_BYTES => {
                    size += chunk.len();
                    chunks.push(chunk);
                    continue;
                }
                Ok(Ok(chunk)) => Ok(Frame::data(chunk)),
                Ok(Err(trailers)) => Ok(trailers),
                Err(status) => Err(status),
            };
            // Too long, or of another form than requests have: it is sent as it is.
            let read = chunks.into_iter().map(|chunk| Ok(Frame::data(chunk)));
            let all = stream::iter(read.chain([last])).chain(BodyStream::new(body));
            return Self::unread(Body::new(StreamBody::new(all)));
        }
        (whole(&chunks), Self::Whole(chunks))
    }
}

fn whole(chunks: &[Bytes]) -> Body {
    let frames: Vec<Result<_, Status>> = chunks.iter().cloned().map(Frame::data).map(Ok).collect();
    Body::new(StreamBody::new(stream::iter(frames)))
}

impl Lent {
    fn of(owner: &Arc<Mutex<Option<Body>>>) -> Body {
        Body::new(Self {
            owner: Arc::clone(owner),
            taken: None,
        })
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.taken.is_none() {
            let body = self.owner.lock().take();
            self.taken = body;
        }
        match &mut self.taken {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.taken {
            Some(body) => body.is_end_stream(),
            None => self.owner.lock().as_ref().is_none_or(Body::is_end_stream),
        }
    }
}
