//! How canonical proto3 JSON writes what JSON itself has no form for.

use serde::Deserialize;

/// A 64-bit number: text where the mesh writes it, which keeps readers that know only doubles from rounding it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Plain(u64),
}

impl Number {
    fn value<E: serde::de::Error>(self) -> Result<u64, E> {
        match self {
            Self::Plain(value) => Ok(value),
            Self::Text(text) => text
                .parse()
                .map_err(|_| E::custom(format!("`{text}` is not a number of 64 bits"))),
        }
    }
}

/// A 64-bit number. Text and a plain number are read, text is written.
pub(super) mod number {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Number;

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        Number::deserialize(from)?.value()
    }

    pub fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }
}

/// As [`number`], where there may be none.
pub(super) mod optional_number {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Number;

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        let number = Option::<Number>::deserialize(from)?;
        number.map(Number::value).transpose()
    }

    pub fn serialize<S: Serializer>(value: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }
}

/// A duration, if there is one: `3.5s` there, seconds here.
pub(super) mod duration {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| {
            let seconds = text.strip_suffix('s').and_then(|text| text.parse().ok());
            let seconds = seconds.filter(|seconds: &f64| seconds.is_finite());
            seconds.ok_or_else(|| Error::custom(format!("`{text}` is not a duration")))
        })
        .transpose()
    }

    pub fn serialize<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(seconds) => to.collect_str(&format_args!("{seconds}s")),
            None => to.serialize_none(),
        }
    }
}
