//! What travels between processes: one line of text, `k1 ORIGIN KIND TOPICS BODY`.
//!
//! The topics come before the body, so that a process that has no watcher of them reads no further.

use std::borrow::Cow;
use std::fmt::Display;

/// Names the format and its version.
const MARK: &str = "k1";

/// Stands where there is no topic.
const NO_TOPIC: &str = "-";

/// More topics than this make no frame.
const MAX_TOPICS: usize = 8;

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message's text.
    Message(Cow<'a, str>),
    /// A message was too long: read again what the topics are about.
    Hint,
    /// Messages were lost: read everything again.
    Reset,
    /// The sender wants to hear itself.
    Ping(u64),
}

impl<'a> Frame<'a> {
    /// The text of a frame.
    pub fn to_text<T: Display>(&self, origin: u64, topics: &[T]) -> String {
        let (kind, body) = match self {
            Self::Message(body) => ('m', body.as_ref().to_owned()),
            Self::Hint => ('h', String::new()),
            Self::Reset => ('r', String::new()),
            Self::Ping(number) => ('p', number.to_string()),
        };
        let mut names: Vec<String> = topics.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            names.push(NO_TOPIC.to_owned());
        }
        format!("{MARK} {origin:016x} {kind} {} {body}", names.join(","))
    }

    /// Reads a frame: its origin, its topics, and what it says. None for anything else.
    pub fn parse(bytes: &'a [u8]) -> Option<(u64, impl Iterator<Item = &'a str>, Self)> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut parts = text.splitn(5, ' ');
        if parts.next()? != MARK {
            return None;
        }
        let origin = u64::from_str_radix(parts.next()?, 16).ok()?;
        let (kind, topics, body) = (parts.next()?, parts.next()?, parts.next()?);
        let frame = match kind {
            "m" => Self::Message(Cow::Borrowed(body)),
            "h" => Self::Hint,
            "r" => Self::Reset,
            "p" => Self::Ping(body.parse().ok()?),
            _ => return None,
        };
        Some((origin, topics.split(',').take(MAX_TOPICS), frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frame: &Frame<'_>, topics: &[&str], text: &str) {
        assert_eq!(frame.to_text(10, topics), text);
        let (origin, read, parsed) = Frame::parse(text.as_bytes()).expect("a frame");
        let read: Vec<&str> = read.collect();
        assert_eq!((origin, &parsed), (10, frame));
        assert!(read == topics || (topics.is_empty() && read == [NO_TOPIC]));
    }

    #[test]
    fn frames_survive_the_wire() {
        let body = Frame::Message("a body, with spaces".into());
        check(
            &body,
            &["job.1", "group.2"],
            "k1 000000000000000a m job.1,group.2 a body, with spaces",
        );
        check(&Frame::Hint, &["job.1"], "k1 000000000000000a h job.1 ");
        check(&Frame::Reset, &[], "k1 000000000000000a r - ");
        check(&Frame::Ping(7), &[], "k1 000000000000000a p - 7");
    }

    #[test]
    fn anything_else_is_no_frame() {
        for text in [
            "",
            "k1",
            "k2 0a m x y",
            "k1 zz m x y",
            "k1 0a q x y",
            "k1 0a p - x",
            "k1 0a m x",
            "{}",
        ] {
            assert!(Frame::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Frame::parse(b"k1 0a m x \xff").is_none());
    }
}
