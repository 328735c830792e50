//! What models take as `input`, and how it stands in Kinora's contract.

mod fields;
mod mochi;
mod ovi;

use std::ops::RangeInclusive;

use kinora_proto::scheduler::v1::Model;
use serde_json::{Map, Value, json};

pub(super) use self::fields::Fields;
use super::endpoint::Endpoint;
use crate::problem::Problem;

/// Seeds of the contract.
const SEEDS: RangeInclusive<u64> = 0..=(1 << 53) - 1;

/// Reads the `input` of an endpoint as members of the contract's request for a video.
///
/// # Errors
/// 400 that names the field, 404 for a model that is not served.
pub(super) fn read(
    endpoint: &Endpoint,
    served: &[Model],
    input: Fields,
) -> Result<Map<String, Value>, Problem> {
    match endpoint {
        Endpoint::Ovi(variant) => ovi::read(*variant, served, input),
        Endpoint::Mochi(_) => {
            let model = served.iter().find(|model| endpoint.covers(&model.id));
            mochi::read(model.map_or("", |model| model.id.as_str()), input)
        }
        Endpoint::Model(id) => own(id, input),
    }
}

impl Endpoint {
    /// How the contract's fields are called in this endpoint's `input`.
    pub(super) const fn names(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Ovi(_) => &ovi::NAMES,
            Self::Mochi(_) => &mochi::NAMES,
            Self::Model(_) => &[],
        }
    }
}

/// The contract's own fields. The model is the endpoint's.
fn own(id: &str, input: Fields) -> Result<Map<String, Value>, Problem> {
    let mut members = input.into_members();
    match members.insert("model".to_owned(), json!(id)) {
        None | Some(Value::Null) => Ok(members),
        Some(Value::String(named)) if named == id => Ok(members),
        Some(_) => Err(Problem::invalid("model", "must be that of the endpoint")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(input: Value) -> Result<Map<String, Value>, Problem> {
        let endpoint = Endpoint::of("tiny");
        read(&endpoint, &[], Fields::of_body(input).unwrap())
    }

    #[test]
    fn own_fields_go_on_as_they_are_with_the_endpoints_model() {
        let sent = json!({ "prompt": "a cat", "frames": 9, "odd": 1 });
        let expected = json!({ "prompt": "a cat", "frames": 9, "odd": 1, "model": "tiny" });
        assert_eq!(Value::from(of(sent).unwrap()), expected);
        assert!(of(json!({ "model": "tiny" })).is_ok());
        assert!(of(json!({ "model": "other" })).is_err());
    }
}
