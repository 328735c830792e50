//! What is asked for, as the REST interface reads it.

use serde::Serialize;

/// A request to generate. Absent fields are left to the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "named as the fields of the REST interface")]
pub struct Submission {
    /// Empty for none: a remix takes that of its source.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// For example `1800s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub preview_first: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remix_of: Option<String>,
    /// `auto`, `rules`, `llm` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub characters: Vec<Character>,
}

/// Somebody or something that has to look alike from clip to clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Character {
    /// What the prompt calls it.
    pub name: String,
    /// How it looks.
    pub sheet: String,
}

/// Several requests at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum BatchSubmission {
    /// One request with several prompts, several seeds, or both.
    Varied {
        /// What they have in common.
        template: Box<Submission>,
        /// A prompt each; empty for the common one.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        prompts: Vec<String>,
        /// A seed each; empty for the common one.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        seeds: Vec<u64>,
    },
    /// Requests as somebody wrote them.
    Listed {
        /// Objects, which the mesh reads.
        requests: Vec<serde_json::Value>,
    },
}

/// A longer clip, segment by segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SequenceSubmission {
    /// What the segments have in common.
    pub segment: Submission,
    /// A prompt each; empty for a number of segments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<String>,
    /// How many segments there are, without prompts of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_are_not_sent() {
        let submission = Submission {
            prompt: "p".to_owned(),
            seed: Some(0),
            ..Default::default()
        };
        let json = serde_json::to_string(&submission).unwrap();
        assert_eq!(json, r#"{"prompt":"p","seed":0}"#);
        assert_eq!(serde_json::to_string(&Submission::default()).unwrap(), "{}");
    }

    #[test]
    fn a_batch_has_its_common_part_as_a_template() {
        let batch = BatchSubmission::Varied {
            template: Box::new(Submission {
                steps: Some(4),
                ..Default::default()
            }),
            prompts: vec!["a".to_owned(), "b".to_owned()],
            seeds: Vec::new(),
        };
        let json = serde_json::to_string(&batch).unwrap();
        assert_eq!(json, r#"{"template":{"steps":4},"prompts":["a","b"]}"#);
    }
}
