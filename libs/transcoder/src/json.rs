//! JSON of bounded cost: a value in memory is many times its text, so values are counted while they are read.

use std::cell::Cell;
use std::fmt;

use kinora_mesh::error::{Kind, PublicError};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A hundred requests with every field have a fifth of it.
const MAX_VALUES: usize = 10_000;

/// Lists and objects in each other.
const MAX_DEPTH: usize = 32;

/// Reads JSON of at most 10,000 values, 32 lists and objects in each other at most. No name may stand twice in an object.
///
/// # Errors
/// `InvalidArgument` with reason `BODY_INVALID`.
pub fn read_json(body: &[u8]) -> Result<Value, PublicError> {
    let count = Cell::new(0);
    let seed = Counted {
        count: &count,
        depth: 0,
    };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = seed.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| {
        let message = format!("the body cannot be read as JSON: {error}");
        PublicError::new(Kind::InvalidArgument, "BODY_INVALID", message)
    })
}

/// A name that a client chose, as an answer may show it.
pub(crate) fn shown(name: &str) -> String {
    name.chars()
        .take(64)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// One value more.
#[derive(Clone, Copy)]
struct Counted<'a> {
    count: &'a Cell<usize>,
    depth: usize,
}

impl Counted<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            let problem = format!("it is nested deeper than {MAX_DEPTH} levels");
            return Err(E::custom(problem));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count.set(self.count.get() + 1);
        if self.count.get() > MAX_VALUES {
            return Err(D::Error::custom(format!(
                "there are more than {MAX_VALUES} values"
            )));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(deeper)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if members.contains_key(&name) {
                let name = shown(&name);
                return Err(A::Error::custom(format!("the field `{name}` stands twice")));
            }
            members.insert(name, entries.next_value_seed(deeper)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_it_stands() {
        let text = r#"{"a":[1,-2,0.5,true,null,"é"],"b":{"c":{}}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read_json(text.as_bytes()).unwrap(), expected);
    }

    #[track_caller]
    fn is_refused(text: &str, problem: &str) {
        let error = read_json(text.as_bytes()).unwrap_err();
        assert_eq!(error.reason, "BODY_INVALID");
        assert!(error.message.contains(problem), "{}", error.message);
    }

    #[test]
    fn a_name_stands_once_at_any_depth() {
        is_refused(r#"{"a":1,"a":1}"#, "the field `a` stands twice");
        is_refused(r#"{"a":[{"b":1,"b":2}]}"#, "the field `b` stands twice");
    }

    #[test]
    fn small_texts_cannot_become_large_values() {
        let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_VALUES));
        let nested = format!("{{\"a\":[{}[]]}}", "[[[]],{}],".repeat(MAX_VALUES / 4));
        for text in [wide, nested] {
            is_refused(&text, "10000 values");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read_json(nested(MAX_DEPTH).as_bytes()).is_ok());
        is_refused(&nested(MAX_DEPTH + 1), "deeper than 32 levels");
        is_refused(&nested(100_000), "deeper than 32 levels");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "{} {}",
            "{\"a\":NaN}",
            "{\"a\":1",
            "\u{0}",
            "{\"a\":\"\\ud800\"}",
        ] {
            is_refused(text, "the body cannot be read as JSON");
        }
    }
}
