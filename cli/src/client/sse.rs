//! Server-sent events, read from pieces of any size.

use std::time::Duration;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// The last id that the stream named, if any.
    pub id: Option<String>,
    /// The event's name; empty when it has none.
    pub name: String,
    /// The data lines, joined.
    pub data: String,
}

/// Keeps what came in until a whole event is there.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    pending: ServerEvent,
    has_data: bool,
    retry: Option<Duration>,
}

impl Parser {
    /// Takes a piece of the stream and gives the events that it completed.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<ServerEvent> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches(['\n', '\r'])));
        }
        events
    }

    /// How long the server wants clients to wait before they reconnect.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn line(&mut self, line: &str) -> Option<ServerEvent> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.pending.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.pending.name),
            "data" => {
                if self.has_data {
                    self.pending.data.push('\n');
                }
                self.has_data = true;
                self.pending.data.push_str(value);
            }
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis),
            // A comment, or a field that has no meaning.
            _ => {}
        }
        None
    }

    /// An event without data is none; the id outlives the event.
    fn dispatch(&mut self) -> Option<ServerEvent> {
        let id = self.pending.id.clone();
        let event = std::mem::take(&mut self.pending);
        self.pending.id = id;
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, name: &str, data: &str) -> ServerEvent {
        ServerEvent {
            id: Some(id.to_owned()),
            name: name.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn events_are_whole_whatever_the_pieces() {
        let text =
            "id: 1\nevent: queued\ndata: {\"é\":1}\n\n: ping\n\nid:2\r\ndata:a\r\ndata: b\r\n\r\n";
        let expected = [event("1", "queued", "{\"é\":1}"), event("2", "", "a\nb")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let pieces = text.as_bytes().chunks(size);
            let events: Vec<ServerEvent> = pieces.flat_map(|piece| parser.push(piece)).collect();
            assert_eq!(events, expected, "pieces of {size}");
        }
    }

    #[test]
    fn half_an_event_is_none() {
        let mut parser = Parser::default();
        assert!(parser.push(b"id: 1\ndata: x\n").is_empty());
        assert_eq!(parser.push(b"\n"), [event("1", "", "x")]);
    }

    #[test]
    fn a_retry_line_is_kept_and_is_no_event() {
        let mut parser = Parser::default();
        assert!(parser.push(b"retry: 1500\n\n").is_empty());
        assert_eq!(parser.retry(), Some(Duration::from_millis(1500)));
        assert!(parser.push(b"retry: soon\n\n").is_empty());
    }

    #[test]
    fn an_event_without_an_id_keeps_the_last_one() {
        let mut parser = Parser::default();
        let events = parser.push(b"id: 7\ndata: a\n\ndata: b\n\n");
        assert_eq!(events, [event("7", "", "a"), event("7", "", "b")]);
    }
}
