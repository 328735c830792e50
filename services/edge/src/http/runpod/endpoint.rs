//! Endpoints: models by their id, and two families by their name.

use axum::http::StatusCode;
use kinora_proto::scheduler::v1::Model;
use serde_json::{Value, json};

use super::job::JobError;
use crate::problem::Problem;

/// Sizes and lengths that Ovi's service has.
const OVI_VARIANTS: [&str; 3] = ["720x720_5s", "960x960_5s", "960x960_10s"];

/// The variant that is meant when none is named.
pub(super) const OVI_DEFAULT: &str = "720x720_5s";

/// What the ids of Ovi's models begin with.
const OVI_PREFIX: &str = "ovi-1.1-";

/// What the ids of Mochi's models begin with.
const MOCHI_PREFIX: &str = "mochi-1";

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// In the form of Ovi's service; one of its variants, or whichever `input` names.
    Ovi(Option<&'static str>),
    /// In the form of `worker-mochi`; the model of that id, or the first there is.
    Mochi(Option<String>),
    /// In Kinora's own form: the model of that id.
    Model(String),
}

impl Endpoint {
    /// Reads a name in a path.
    pub(super) fn of(name: &str) -> Self {
        if let Some(variant) = ovi_variant(name) {
            return Self::Ovi(Some(variant));
        }
        match name {
            "ovi" => Self::Ovi(None),
            "mochi" => Self::Mochi(None),
            _ if name.starts_with(MOCHI_PREFIX) => Self::Mochi(Some(name.to_owned())),
            _ => Self::Model(name.to_owned()),
        }
    }

    /// Whether the model of that id is the endpoint's.
    pub(super) fn covers(&self, model: &str) -> bool {
        match self {
            Self::Ovi(None) => ovi_variant(model).is_some(),
            Self::Ovi(Some(variant)) => ovi_variant(model) == Some(*variant),
            Self::Mochi(None) => model.starts_with(MOCHI_PREFIX),
            Self::Mochi(Some(id)) | Self::Model(id) => id == model,
        }
    }

    /// Checks that there is such an endpoint, and something behind it.
    ///
    /// # Errors
    /// 404 with reason `ENDPOINT_UNKNOWN`, or `MODEL_NOT_SERVED` for a family without a model.
    pub(super) fn require(&self, served: &[Model]) -> Result<(), Problem> {
        if served.iter().any(|model| self.covers(&model.id)) {
            return Ok(());
        }
        Err(match self {
            Self::Ovi(variant) => {
                let model = format!("{OVI_PREFIX}{}", variant.unwrap_or(OVI_DEFAULT));
                not_served(&model, served)
            }
            Self::Mochi(id) => not_served(id.as_deref().unwrap_or("mochi-1-preview"), served),
            Self::Model(_) => unknown(served),
        })
    }

    /// The error of a job, as the endpoint's service tells it.
    pub(super) fn error(&self, error: JobError) -> Value {
        match self {
            Self::Ovi(_) => json!({
                "message": error.message,
                "type": "server_error",
                "param": null,
                "code": error.code,
            }),
            Self::Mochi(_) | Self::Model(_) => {
                Value::String(format!("{}: {}", error.code, error.message))
            }
        }
    }
}

/// The model of one of Ovi's variants.
///
/// # Errors
/// 404 with reason `MODEL_NOT_SERVED`.
pub(super) fn ovi_model(variant: &str, served: &[Model]) -> Result<String, Problem> {
    let id = format!("{OVI_PREFIX}{variant}");
    if served.iter().any(|model| model.id == id) {
        return Ok(id);
    }
    Err(not_served(&id, served))
}

/// The variant that a name means, with or without what the ids begin with.
pub(super) fn ovi_variant(name: &str) -> Option<&'static str> {
    let plain = name.strip_prefix(OVI_PREFIX).unwrap_or(name);
    OVI_VARIANTS.into_iter().find(|variant| *variant == plain)
}

fn not_served(model: &str, served: &[Model]) -> Problem {
    let model = shown(model);
    let detail = format!(
        "the model `{model}` is not served here yet; {}",
        known(served)
    );
    Problem::new(StatusCode::NOT_FOUND, "MODEL_NOT_SERVED", detail).with_metadata("model", model)
}

fn unknown(served: &[Model]) -> Problem {
    let detail = format!("there is no such endpoint; {}", known(served));
    Problem::new(StatusCode::NOT_FOUND, "ENDPOINT_UNKNOWN", detail)
}

fn known(served: &[Model]) -> String {
    if served.is_empty() {
        return "no model is served yet".to_owned();
    }
    let ids: Vec<&str> = served.iter().map(|model| model.id.as_str()).collect();
    format!("served: {}", ids.join(", "))
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(ids: &[&str]) -> Vec<Model> {
        let model = |id: &&str| Model {
            id: (*id).to_owned(),
            ..Model::default()
        };
        ids.iter().map(model).collect()
    }

    #[test]
    fn families_have_their_own_forms_under_every_name() {
        assert_eq!(Endpoint::of("ovi"), Endpoint::Ovi(None));
        for name in ["960x960_10s", "ovi-1.1-960x960_10s"] {
            assert_eq!(Endpoint::of(name), Endpoint::Ovi(Some("960x960_10s")));
        }
        assert_eq!(Endpoint::of("mochi"), Endpoint::Mochi(None));
        let preview = "mochi-1-preview".to_owned();
        assert_eq!(Endpoint::of(&preview), Endpoint::Mochi(Some(preview)));
        for other in ["ovi-1.1-100x100_5s", "kinora-tiny-t2v", "OVI", ""] {
            assert_eq!(Endpoint::of(other), Endpoint::Model(other.to_owned()));
        }
    }

    #[test]
    fn jobs_of_other_models_are_not_the_endpoints() {
        let covers = |name: &str, model: &str| Endpoint::of(name).covers(model);
        assert!(covers("ovi", "ovi-1.1-720x720_5s"));
        assert!(covers("720x720_5s", "ovi-1.1-720x720_5s"));
        assert!(!covers("720x720_5s", "ovi-1.1-960x960_5s"));
        assert!(covers("mochi", "mochi-1-preview"));
        assert!(!covers("mochi", "ovi-1.1-720x720_5s"));
        assert!(covers("kinora-tiny-t2v", "kinora-tiny-t2v"));
        assert!(!covers("kinora-tiny-t2v", "kinora-tiny-i2v"));
    }

    #[test]
    fn what_is_not_served_is_told_from_what_nobody_knows() {
        let check = |name: &str, ids: &[&str], reason: Option<&str>| {
            let refused = Endpoint::of(name).require(&served(ids)).err();
            let found = refused.as_ref().map(|problem| problem.said().0);
            assert_eq!(found, reason, "{name}");
        };
        check("tiny", &["tiny"], None);
        check("mochi", &["tiny", "mochi-1-preview"], None);
        check("ovi", &["ovi-1.1-960x960_5s"], None);
        check("ovi", &["tiny"], Some("MODEL_NOT_SERVED"));
        check("mochi", &[], Some("MODEL_NOT_SERVED"));
        check("other", &["tiny"], Some("ENDPOINT_UNKNOWN"));
    }

    #[test]
    fn one_variant_may_be_served_without_the_others() {
        let served = served(&["ovi-1.1-960x960_5s"]);
        let id = ovi_model("960x960_5s", &served).unwrap();
        assert_eq!(id, "ovi-1.1-960x960_5s");
        let problem = ovi_model("720x720_5s", &served).unwrap_err();
        assert!(
            problem
                .said()
                .1
                .contains("`ovi-1.1-720x720_5s` is not served")
        );
    }
}
