//! The one message of a call: of bounded size, not forever, and only so many large ones at a time.

use std::time::Duration;

use axum::body::Bytes;
use http_body_util::BodyExt;
use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::places::{Place, Places};
use tonic::body::Body;

/// A message follows a byte that says whether it is compressed, and its length in four.
pub(super) const PREFIX_BYTES: usize = 5;

/// A message up to this length has no picture in it.
const SMALL_BYTES: usize = 64 << 10;

/// How long a caller may take to send a message.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a caller may take to send pictures.
const PATIENCE_WITH_PICTURES: Duration = Duration::from_secs(60);

/// When to come back while all places of large messages are taken.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a caller may send.
pub(super) struct Limits<'a> {
    pub(super) max_bytes: usize,
    /// Places for large messages, and whose it is; none where messages hold no pictures.
    pub(super) places: Option<(&'a Places, &'a str)>,
}

/// A message with its prefix, as it came. A large one keeps its place as long as this lives.
pub(super) struct Message {
    pub(super) framed: Bytes,
    _place: Option<Place>,
}

impl Message {
    /// Reads it. Its length stands first: what is too long is not read.
    pub(super) async fn read(body: Body, limits: &Limits<'_>) -> Result<Self, PublicError> {
        let mut incoming = Incoming {
            body,
            bytes: Vec::new(),
        };
        let length = within(PATIENCE, incoming.length()).await?;
        if length > limits.max_bytes {
            return Err(too_large(limits.max_bytes));
        }
        let places = limits.places.filter(|_| length > SMALL_BYTES);
        let taken = places.map(|(places, caller)| places.take(caller).ok_or_else(busy));
        let place = taken.transpose()?;
        let patience = match place {
            Some(_) => PATIENCE_WITH_PICTURES,
            None => PATIENCE,
        };
        let framed = within(patience, incoming.rest(length)).await?;
        Ok(Self {
            framed,
            _place: place,
        })
    }

    /// The message alone.
    pub(super) fn payload(&self) -> Bytes {
        let begin = PREFIX_BYTES.min(self.framed.len());
        self.framed.slice(begin..)
    }
}

/// A message with its prefix.
pub(super) fn framed(message: &[u8]) -> Result<Bytes, PublicError> {
    let length = u32::try_from(message.len()).map_err(|_| too_large(u32::MAX as usize))?;
    let mut framed = Vec::with_capacity(PREFIX_BYTES + message.len());
    framed.push(0);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    Ok(framed.into())
}

/// What was read of a body.
struct Incoming {
    body: Body,
    bytes: Vec<u8>,
}

impl Incoming {
    /// What the prefix says.
    async fn length(&mut self) -> Result<usize, PublicError> {
        loop {
            if let Some((prefix, _)) = self.bytes.split_first_chunk::<PREFIX_BYTES>() {
                let [compressed, length @ ..] = *prefix;
                if compressed != 0 {
                    return Err(compressed_message());
                }
                let length = u32::from_be_bytes(length);
                return usize::try_from(length).map_err(|_| too_large(usize::MAX));
            }
            if !self.more().await? {
                return Err(incomplete());
            }
        }
    }

    /// All of it, once the caller has said that nothing follows.
    async fn rest(mut self, length: usize) -> Result<Bytes, PublicError> {
        let end = PREFIX_BYTES + length;
        loop {
            if self.bytes.len() > end {
                return Err(several());
            }
            if !self.more().await? {
                break;
            }
        }
        if self.bytes.len() < end {
            return Err(incomplete());
        }
        Ok(self.bytes.into())
    }

    /// Reads on; false at the end.
    async fn more(&mut self) -> Result<bool, PublicError> {
        match self.body.frame().await {
            None => Ok(false),
            Some(Err(_)) => Err(incomplete()),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.bytes.extend_from_slice(&data);
                }
                Ok(true)
            }
        }
    }
}

async fn within<T>(
    limit: Duration,
    reading: impl Future<Output = Result<T, PublicError>>,
) -> Result<T, PublicError> {
    let read = tokio::time::timeout(limit, reading).await;
    read.map_err(|_| {
        let detail = "the message did not arrive in time";
        PublicError::new(Kind::DeadlineExceeded, "BODY_TIMEOUT", detail)
    })?
}

fn incomplete() -> PublicError {
    let detail = "the body ended before the message was complete";
    PublicError::new(Kind::InvalidArgument, "BODY_INCOMPLETE", detail)
}

fn several() -> PublicError {
    let detail = "the method takes one message";
    PublicError::new(Kind::InvalidArgument, "MESSAGES_TOO_MANY", detail)
}

fn compressed_message() -> PublicError {
    let detail = "compressed messages are not taken; send it as it is";
    PublicError::new(Kind::Unimplemented, "COMPRESSION_UNSUPPORTED", detail)
}

fn too_large(max_bytes: usize) -> PublicError {
    let detail = format!("the message must not be larger than {max_bytes} bytes");
    PublicError::new(Kind::ResourceExhausted, "BODY_TOO_LARGE", detail)
        .with_metadata("max_bytes", max_bytes.to_string())
}

fn busy() -> PublicError {
    let detail = "too many large bodies are being taken in; try again in a moment";
    PublicError::new(Kind::ResourceExhausted, "UPLOADS_BUSY", detail).with_retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    const LIMITS: Limits<'static> = Limits {
        max_bytes: 100,
        places: None,
    };

    /// A body that comes in these pieces.
    fn body(pieces: &[&[u8]]) -> Body {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    async fn refused(pieces: &[&[u8]]) -> String {
        let read = Message::read(body(pieces), &LIMITS).await;
        read.err().map(|error| error.reason).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_message_may_come_in_pieces() {
        let pieces: [&[u8]; 4] = [&[0, 0], &[0, 0, 3, 7], &[], &[8, 9]];
        let message = Message::read(body(&pieces), &LIMITS).await.unwrap();
        assert_eq!(message.payload().as_ref(), [7, 8, 9]);
        assert_eq!(message.framed, framed(&[7, 8, 9]).unwrap());
        let empty = Message::read(body(&[&[0; 5]]), &LIMITS).await.unwrap();
        assert!(empty.payload().is_empty());
    }

    #[tokio::test]
    async fn anything_but_one_whole_message_is_refused() {
        assert_eq!(refused(&[]).await, "BODY_INCOMPLETE");
        assert_eq!(refused(&[&[0, 0, 0]]).await, "BODY_INCOMPLETE");
        assert_eq!(refused(&[&[0, 0, 0, 0, 2, 1]]).await, "BODY_INCOMPLETE");
        assert_eq!(refused(&[&[0, 0, 0, 0, 0, 1]]).await, "MESSAGES_TOO_MANY");
        assert_eq!(refused(&[&[0; 5], &[0; 5]]).await, "MESSAGES_TOO_MANY");
        assert_eq!(
            refused(&[&[1, 0, 0, 0, 0]]).await,
            "COMPRESSION_UNSUPPORTED"
        );
        assert_eq!(refused(&[&[0, 0, 0, 0, 101]]).await, "BODY_TOO_LARGE");
        assert_eq!(refused(&[&[0, 255, 255, 255, 255]]).await, "BODY_TOO_LARGE");
    }

    #[tokio::test]
    async fn large_messages_take_places_that_small_ones_do_not() {
        let places = Places::new(1, 1);
        let limits = Limits {
            max_bytes: 1 << 20,
            places: Some((&places, "anna")),
        };
        let large = framed(&vec![7; SMALL_BYTES + 1]).unwrap();
        let first = Message::read(body(&[&large]), &limits).await.unwrap();
        let second = Message::read(body(&[&large]), &limits).await;
        assert_eq!(second.err().unwrap().reason, "UPLOADS_BUSY");
        assert!(Message::read(body(&[&[0; 5]]), &limits).await.is_ok());
        drop(first);
        assert!(Message::read(body(&[&large]), &limits).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_without_end() {
        let silent = Body::new(StreamBody::new(stream::pending::<
            Result<Frame<Bytes>, Infallible>,
        >()));
        let read = Message::read(silent, &LIMITS).await;
        assert_eq!(read.err().unwrap().reason, "BODY_TIMEOUT");
    }
}
