//! `kinora reviews`.

use reqwest::Method;
use serde_json::{Value, json};

use super::connect::any_mesh;
use super::prompts::{findings, text};
use crate::arguments::{Folders, ReviewsArguments, ReviewsCommand};
use crate::exit::Failure;
use crate::output::{self, show};

const REVIEWS: [&str; 3] = ["v1", "admin", "reviews"];

/// Characters of a prompt in a table.
const SHOWN_CHARS: usize = 60;

/// Runs `kinora reviews`.
///
/// # Errors
///
/// [`Failure`].
pub async fn run(arguments: ReviewsArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let json = arguments.json;
    let (id, decision) = match arguments.command {
        ReviewsCommand::List { status, limit } => {
            let query = [("status", status.as_str())];
            let reviews = api.listed(&REVIEWS, &query, "reviews", limit).await?;
            if reviews.is_empty() && !json {
                output::remark(format!("no reviews are {status}"));
                return Ok(());
            }
            return Ok(show(json, &reviews, || table(&reviews))?);
        }
        ReviewsCommand::Show { id } => (id, None),
        ReviewsCommand::Approve { id, note } => (id, Some(("approve", note))),
        ReviewsCommand::Refuse { id, note } => (id, Some(("refuse", note))),
    };
    let [version, admin, reviews] = REVIEWS;
    let review = match decision {
        None => {
            let path = [version, admin, reviews, &id];
            api.call(Method::GET, &path, &[], None).await?
        }
        Some((verb, note)) => {
            let target = format!("{id}:{verb}");
            let path = [version, admin, reviews, &target];
            let body = Some(json!({ "note": note }));
            api.call(Method::POST, &path, &[], body).await?
        }
    };
    Ok(show(json, &review, || describe(&review))?)
}

fn table(reviews: &[Value]) -> String {
    let row = |review: &Value| {
        let found = review["findings"]
            .as_array()
            .and_then(|found| found.first());
        let prompt: String = text(review, "prompt")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        [
            text(review, "id"),
            text(review, "status"),
            found.map_or_else(String::new, |found| text(found, "category")),
            text(review, "owner"),
            text(review, "requests"),
            prompt.chars().take(SHOWN_CHARS).collect(),
        ]
    };
    let rows: Vec<_> = reviews.iter().map(row).collect();
    output::table(
        ["ID", "STATUS", "CATEGORY", "OWNER", "ASKED", "PROMPT"],
        &rows,
    )
}

fn describe(review: &Value) -> String {
    let mut lines = Vec::new();
    for (name, field) in [
        ("review", "id"),
        ("status", "status"),
        ("owner", "owner"),
        ("prompt", "prompt"),
        ("negative", "negative_prompt"),
        ("style", "style"),
        ("asked", "create_time"),
        ("decided", "decide_time"),
        ("by", "decided_by"),
        ("note", "note"),
        ("until", "purge_time"),
    ] {
        let value = text(review, field);
        if !value.is_empty() {
            lines.push(format!("{name:<9} {value}"));
        }
    }
    let characters = review["characters"].as_array().into_iter().flatten();
    lines.extend(
        characters.map(|one| format!("character {}: {}", text(one, "name"), text(one, "sheet"))),
    );
    lines.extend(findings(review).map(|found| format!("found     {found}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review() -> Value {
        json!({
            "id": "r", "status": "pending", "owner": "anna", "prompt": format!("a  ball\n{}", "x".repeat(100)),
            "negative_prompt": "", "requests": 3, "characters": [{ "name": "Ada", "sheet": "tall" }],
            "findings": [{
                "verdict": "review", "category": "politics", "rule_id": "en.x", "text": "prompt",
                "evidence": "ball",
            }],
        })
    }

    #[test]
    fn a_table_has_a_line_a_review() {
        let table = table(&[review()]);
        let line = table.lines().nth(1).unwrap();
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(
            line.starts_with("r   pending  politics  anna   3      a ball x"),
            "{line}"
        );
    }

    #[test]
    fn a_review_is_shown_with_what_was_found() {
        let text = describe(&review());
        assert!(text.contains("character Ada: tall"), "{text}");
        assert!(
            text.ends_with("found     review: politics by en.x in prompt `ball`"),
            "{text}"
        );
        assert!(!text.contains("negative"), "{text}");
    }
}
