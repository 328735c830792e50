//! When an answer ends before the model says so: texts that stop it, and going round in circles.

/// Longest sequence of tokens whose repetition is noticed.
const MAX_PERIOD: usize = 64;
/// Times that a sequence has to stand there.
const MIN_REPEATS: usize = 4;
/// Tokens that the repetitions have to take together: `ha ha ha ha` is no loop yet.
const MIN_TOKENS: usize = 24;

/// Notices a model that repeats itself.
#[derive(Clone, Debug, Default)]
pub struct RepetitionGuard {
    tokens: Vec<u32>,
}

impl RepetitionGuard {
    /// Takes a token of the answer, and says whether the answer ends in a sequence of up to 64 tokens that stands there
    /// four times or more, over 24 tokens or more.
    pub fn is_loop_after(&mut self, token: u32) -> bool {
        self.tokens.push(token);
        (1..=MAX_PERIOD).any(|period| self.repeats(period))
    }

    fn repeats(&self, period: usize) -> bool {
        let span = (period * MIN_REPEATS).max(MIN_TOKENS.next_multiple_of(period));
        let Some(start) = self.tokens.len().checked_sub(span) else {
            return false;
        };
        let tail = &self.tokens[start..];
        tail.iter()
            .zip(&tail[period..])
            .all(|(one, next)| one == next)
    }
}

/// The text of an answer as it grows: finds stop texts, also across tokens, and tells what can be handed out.
#[derive(Debug, Default)]
pub(super) struct AnswerText {
    bytes: Vec<u8>,
    /// Bytes that were handed out.
    handed_out: usize,
    stops: Vec<String>,
}

impl AnswerText {
    pub(super) fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.to_vec(),
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds bytes. True if a stop text stands there now; it and what follows it are gone.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        // A stop text may have begun in what was there.
        let from = self.bytes.len().saturating_sub(longest);
        self.bytes.extend_from_slice(bytes);
        let found = self.stops.iter().filter_map(|stop| {
            let mut places = self.bytes[from..].windows(stop.len());
            places.position(|place| place == stop.as_bytes())
        });
        match found.min() {
            Some(at) => {
                self.bytes.truncate(from + at);
                true
            }
            None => false,
        }
    }

    /// What is certain and was not handed out yet: whole characters that are not the beginning of a stop text.
    pub(super) fn next_piece(&mut self) -> Option<String> {
        let held_back = self.stops.iter().map(|stop| self.overlap(stop.as_bytes()));
        let end = self.bytes.len() - held_back.max().unwrap_or(0);
        let new = self.bytes.get(self.handed_out..end)?;
        let whole = match std::str::from_utf8(new) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => new.len(),
        };
        if whole == 0 {
            return None;
        }
        let piece = String::from_utf8_lossy(&new[..whole]).into_owned();
        self.handed_out += whole;
        Some(piece)
    }

    /// Bytes at the end that are the beginning of a stop text.
    fn overlap(&self, stop: &[u8]) -> usize {
        let longest = stop.len().saturating_sub(1).min(self.bytes.len());
        let is_beginning = |length: &usize| self.bytes.ends_with(&stop[..*length]);
        (1..=longest).rev().find(is_beginning).unwrap_or(0)
    }

    /// Replaces the end, as a constraint has it.
    pub(super) fn end_with(&mut self, dropped_bytes: usize, text: &str) {
        let length = self.bytes.len().saturating_sub(dropped_bytes);
        self.bytes.truncate(length);
        self.bytes.extend_from_slice(text.as_bytes());
        self.stops.clear();
    }

    /// Says that nothing follows: what was held back can be handed out.
    pub(super) fn finish(&mut self) {
        self.stops.clear();
        // Half a character at the end is dropped.
        if let Err(error) = std::str::from_utf8(&self.bytes)
            && error.error_len().is_none()
        {
            self.bytes.truncate(error.valid_up_to());
        }
    }

    pub(super) fn into_text(self) -> String {
        String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

#[cfg(test)]
mod tests;
