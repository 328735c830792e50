//! `kinora prompts`.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::connect::any_mesh;
use super::report::fallback;
use crate::arguments::{Folders, PrepareArguments, PromptsArguments, PromptsCommand};
use crate::exit::Failure;
use crate::output::{self, show};

/// Runs `kinora prompts`.
///
/// # Errors
///
/// [`Failure`].
pub async fn run(arguments: PromptsArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let json = arguments.json;
    match arguments.command {
        PromptsCommand::Prepare(prepare) => {
            let path = ["v1", "prompts:prepare"];
            let body = Some(request(&prepare));
            let prompt = api.call(Method::POST, &path, &[], body).await?;
            show(json, &prompt, || describe_prompt(&prompt))?;
        }
        PromptsCommand::Moderate(moderate) => {
            let path = ["v1", "prompts:moderate"];
            let body = Some(json!({ "text": moderate.text }));
            let moderation = api.call(Method::POST, &path, &[], body).await?;
            show(json, &moderation, || describe_moderation(&moderation))?;
        }
        PromptsCommand::Policy => {
            let path = ["v1", "prompts", "policy"];
            let policy = api.call(Method::GET, &path, &[], None).await?;
            show(json, &policy, || describe_policy(&policy))?;
        }
    }
    Ok(())
}

/// Without `--enhance` it is moderated alone, as it is for a clip.
fn request(prepare: &PrepareArguments) -> Value {
    let wishes = &prepare.enhancement;
    let mut body = Map::new();
    body.insert("prompt".to_owned(), json!(prepare.prompt));
    body.insert("mode".to_owned(), json!(prepare.mode.replace('-', "_")));
    let enhancer = wishes.enhance.as_deref().unwrap_or("none");
    body.insert("enhancer".to_owned(), json!(enhancer));
    let family = prepare.family.as_ref().map(|name| name.replace('-', "_"));
    let given = [
        ("negative_prompt", &prepare.negative),
        ("family", &family),
        ("language", &prepare.language),
        ("style", &wishes.style),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            body.insert(name.to_owned(), json!(value));
        }
    }
    if !wishes.characters.is_empty() {
        body.insert("characters".to_owned(), json!(wishes.characters));
    }
    Value::Object(body)
}

fn describe_prompt(prompt: &Value) -> String {
    let mut lines = vec![
        format!("original  {}", text(prompt, "original_prompt")),
        format!("prompt    {}", text(prompt, "prompt")),
    ];
    let enhancer = text(prompt, "enhancer");
    let used = list(prompt, "used").join(", ");
    let by = match used.as_str() {
        "" => enhancer,
        used => format!("{enhancer} ({used})"),
    };
    for (name, value) in [
        ("negative", text(prompt, "negative_prompt")),
        ("speech", list(prompt, "speech").join(" | ")),
        ("audio", text(prompt, "audio")),
        ("language", text(prompt, "language")),
        ("enhancer", by),
    ] {
        if !value.is_empty() {
            lines.push(format!("{name:<9} {value}"));
        }
    }
    if let Some(reason) = prompt["fallback_reason"].as_str() {
        lines.push(format!("note      {}", fallback(reason)));
    }
    let notes = list(prompt, "notes").into_iter();
    lines.extend(notes.map(|note| format!("note      {note}")));
    lines.push(describe_moderation(&prompt["moderation"]));
    lines.join("\n")
}

/// A verdict, and a line for everything that was found.
fn describe_moderation(moderation: &Value) -> String {
    let mut lines = vec![format!("verdict   {}", text(moderation, "verdict"))];
    lines.extend(findings(moderation).map(|found| format!("          {found}")));
    lines.join("\n")
}

/// What was found, each in a line.
pub(super) fn findings(of: &Value) -> impl Iterator<Item = String> {
    let found = of["findings"].as_array().into_iter().flatten();
    found.map(|finding| {
        let words = match text(finding, "evidence") {
            words if words.is_empty() => words,
            words => format!(" `{words}`"),
        };
        format!(
            "{}: {} by {} in {}{words}",
            text(finding, "verdict"),
            text(finding, "category"),
            text(finding, "rule_id"),
            text(finding, "text"),
        )
    })
}

fn describe_policy(policy: &Value) -> String {
    let row = |rule: &Value| {
        let always = match rule["always_refused"].as_bool() {
            Some(true) => "whatever is configured".to_owned(),
            _ => String::new(),
        };
        [text(rule, "category"), text(rule, "verdict"), always]
    };
    let rules = policy["categories"].as_array().into_iter().flatten();
    let rows: Vec<_> = rules.map(row).collect();
    format!(
        "{}\n\nlanguages  {}\nenhancers  {}\nfamilies   {}\ndigest     {}",
        output::table(["CATEGORY", "VERDICT", ""], &rows),
        list(policy, "languages").join(", "),
        list(policy, "enhancers").join(", "),
        list(policy, "families").join(", "),
        text(policy, "digest"),
    )
}

/// A field as text; empty for none.
pub(super) fn text(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(value: &Value, field: &str) -> Vec<String> {
    let items = value[field].as_array().into_iter().flatten();
    let items = items.filter_map(Value::as_str);
    items.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn prepared(line: &[&str]) -> Value {
        let line = ["kinora", "prompts", "prepare"].iter().chain(line);
        match Arguments::try_parse_from(line).unwrap().command {
            Command::Prompts(arguments) => match arguments.command {
                PromptsCommand::Prepare(prepare) => request(&prepare),
                other => panic!("not prepare: {other:?}"),
            },
            other => panic!("not prompts: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_not_sent() {
        assert_eq!(
            prepared(&["a ball"]),
            json!({ "prompt": "a ball", "mode": "text", "enhancer": "none" })
        );
    }

    #[test]
    fn everything_that_is_said_is_sent_as_the_contract_names_it() {
        let line = [
            "--enhance=llm",
            "a ball",
            "--for",
            "ovi-720",
            "--mode",
            "first-and-last-image",
            "--negative",
            "rain",
            "--style",
            "noir",
            "--character",
            "Ada=tall",
            "--language",
            "en",
        ];
        assert_eq!(
            prepared(&line),
            json!({
                "prompt": "a ball", "mode": "first_and_last_image", "enhancer": "llm",
                "family": "ovi_720", "negative_prompt": "rain", "style": "noir", "language": "en",
                "characters": [{ "name": "Ada", "sheet": "tall" }],
            })
        );
    }

    #[test]
    fn a_prepared_prompt_is_told_line_by_line() {
        let prompt = json!({
            "original_prompt": "Ball", "prompt": "a red ball", "enhancer": "rules", "used": ["tiny.move"],
            "notes": ["a note"], "fallback_reason": "LLM_BUSY",
            "moderation": { "verdict": "review", "findings": [{
                "verdict": "review", "category": "graphic_violence", "rule_id": "en.x", "text": "prompt",
                "evidence": "words",
            }] },
        });
        assert_eq!(
            describe_prompt(&prompt),
            "original  Ball\nprompt    a red ball\nenhancer  rules (tiny.move)\n\
             note      the language model is busy\nnote      a note\nverdict   review\n          \
             review: graphic_violence by en.x in prompt `words`"
        );
    }

    #[test]
    fn a_policy_says_what_nobody_can_change() {
        let policy = json!({
            "digest": "d", "languages": ["en", "de"], "enhancers": ["rules"], "families": ["tiny"],
            "categories": [{ "category": "politics", "verdict": "refuse", "always_refused": true }],
        });
        let text = describe_policy(&policy);
        assert!(
            text.contains("politics  refuse   whatever is configured"),
            "{text}"
        );
        assert!(text.contains("languages  en, de"), "{text}");
    }
}
