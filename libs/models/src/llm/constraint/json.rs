//! One JSON object of given texts.

use std::sync::Arc;

use super::{Constraint, Ending};

/// A field of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonField {
    /// Its name.
    pub name: String,
    /// Most characters of its value.
    pub max_characters: u32,
}

/// An object that has exactly these fields, in this order, each of them a text.
///
/// Of the ways to write a text, escapes by number are left out: every character can be written without.
#[derive(Clone, Debug)]
pub struct JsonFields {
    fields: Arc<[JsonField]>,
    /// What stands before each value, and after the last.
    literals: Arc<[String]>,
    state: State,
}

/// Where in the object the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the literal before this value, or behind the last one.
    Literal { field: usize, at: usize },
    /// Between two characters of a value.
    Value { field: usize, characters: u32 },
    /// After a backslash in a value.
    Escape { field: usize, characters: u32 },
    /// Within a character of a value.
    Character {
        field: usize,
        characters: u32,
        within: Within,
    },
    /// Behind the object.
    Whole,
}

/// A character of which some bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Within {
    missing: u8,
    written: u8,
    /// What the next byte may be.
    least: u8,
    most: u8,
}

impl Within {
    /// The character that begins with this byte: the well-formed sequences of the Unicode standard, table 3-7.
    fn first(byte: u8) -> Option<Self> {
        let (missing, least, most) = match byte {
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => return None,
        };
        Some(Self {
            missing,
            written: 1,
            least,
            most,
        })
    }

    fn next(self) -> Self {
        Self {
            missing: self.missing - 1,
            written: self.written + 1,
            least: 0x80,
            most: 0xbf,
        }
    }
}

impl JsonFields {
    /// An object of these fields. Without any, the object is empty.
    #[must_use]
    pub fn new(fields: Vec<JsonField>) -> Self {
        let mut literals: Vec<String> = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let before = if index == 0 { "{" } else { "\", " };
            let name = serde_json::Value::from(field.name.as_str());
            literals.push(format!("{before}{name}: \""));
        }
        let last = if fields.is_empty() { "{}" } else { "\"}" };
        literals.push(last.to_owned());
        Self {
            fields: fields.into(),
            literals: literals.into(),
            state: State::Literal { field: 0, at: 0 },
        }
    }

    fn literal(&self, field: usize) -> &str {
        self.literals.get(field).map_or("", String::as_str)
    }

    fn after(&self, bytes: &[u8]) -> Option<State> {
        let mut bytes = bytes.iter();
        bytes.try_fold(self.state, |state, &byte| self.step(state, byte))
    }

    fn step(&self, state: State, byte: u8) -> Option<State> {
        match state {
            State::Literal { field, at } => self.step_literal(field, at, byte),
            State::Value { field, characters } => self.step_value(field, characters, byte),
            State::Escape { field, characters } => {
                let is_known = br#""\/bfnrt"#.contains(&byte);
                is_known.then_some(State::Value { field, characters })
            }
            State::Character {
                field,
                characters,
                within,
            } => {
                if byte < within.least || byte > within.most {
                    return None;
                }
                Some(match within.missing {
                    1 => State::Value { field, characters },
                    _ => State::Character {
                        field,
                        characters,
                        within: within.next(),
                    },
                })
            }
            State::Whole => None,
        }
    }

    fn step_literal(&self, field: usize, at: usize, byte: u8) -> Option<State> {
        let literal = self.literal(field).as_bytes();
        if literal.get(at) != Some(&byte) {
            return None;
        }
        let at = at + 1;
        let characters = 0;
        Some(if at < literal.len() {
            State::Literal { field, at }
        } else if field < self.fields.len() {
            State::Value { field, characters }
        } else {
            State::Whole
        })
    }

    fn step_value(&self, field: usize, characters: u32, byte: u8) -> Option<State> {
        if byte == b'"' {
            // The quotation mark is the first byte of the next literal.
            return self.step_literal(field + 1, 0, byte);
        }
        if characters >= self.fields.get(field)?.max_characters {
            return None;
        }
        let characters = characters + 1;
        match byte {
            b'\\' => Some(State::Escape { field, characters }),
            0x20..=0x7e => Some(State::Value { field, characters }),
            _ => Some(State::Character {
                field,
                characters,
                within: Within::first(byte)?,
            }),
        }
    }
}

impl Constraint for JsonFields {
    fn accepts(&self, bytes: &[u8]) -> bool {
        !bytes.is_empty() && self.after(bytes).is_some()
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(state) = self.after(bytes) {
            self.state = state;
        }
    }

    fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    fn ending(&self) -> Ending {
        let (dropped_bytes, field, at) = match self.state {
            State::Whole => return Ending::default(),
            State::Literal { field, at } => (0, field, at),
            State::Value { field, .. } => (0, field + 1, 0),
            State::Escape { field, .. } => (1, field + 1, 0),
            State::Character { field, within, .. } => (usize::from(within.written), field + 1, 0),
        };
        let first = self.literal(field).get(at..).unwrap_or_default();
        let rest = (field + 1..self.literals.len()).map(|field| self.literal(field));
        Ending {
            dropped_bytes,
            text: std::iter::once(first).chain(rest).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
