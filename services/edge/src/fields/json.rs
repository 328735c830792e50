//! JSON of bounded cost: a value in memory is many times its text, so values are counted while they are read.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::printable;

/// A hundred requests with every field have a fifth of it.
const MAX_VALUES: usize = 10_000;

/// Reads one object. No name may stand twice in any object, and there are at most [`MAX_VALUES`] values.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    let count = Cell::new(0);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Counted(&count).deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    match value.map_err(|error| error.to_string())? {
        Value::Object(members) => Ok(members),
        _ => Err("an object was expected".to_owned()),
    }
}

/// One value more.
#[derive(Clone, Copy)]
struct Counted<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.set(self.0.get() + 1);
        if self.0.get() > MAX_VALUES {
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
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if members.contains_key(&name) {
                let name = printable(&name);
                return Err(A::Error::custom(format!("the field `{name}` stands twice")));
            }
            members.insert(name, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_it_stands() {
        let text = r#"{"a":[1,-2,0.5,true,null,"é"],"b":{"c":{}}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), expected);
    }

    #[test]
    fn a_name_stands_once_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":[{"b":1,"b":2}]}"#] {
            let error = object(text.as_bytes()).unwrap_err();
            assert!(error.contains("twice"), "{error}");
        }
    }

    #[test]
    fn small_texts_cannot_become_large_values() {
        let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_VALUES));
        let nested = format!("{{\"a\":[{}[]]}}", "[[[]],{}],".repeat(MAX_VALUES / 4));
        for text in [wide, nested] {
            let error = object(text.as_bytes()).unwrap_err();
            assert!(error.contains("10000 values"), "{error}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "[]", "1", "{} {}", "{\"a\":NaN}", "{\"a\":1"] {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
    }
}
