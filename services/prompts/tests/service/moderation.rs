//! Who says what may be generated, and what happens when they cannot.

use kinora_proto::prompts::v1 as pb;
use serde_json::{Value, json};

use crate::harness::{TestPrompts, order, refuses};
use crate::servers::{Habit, Server};

const HARMLESS: &str = "two friends cook soup in a bright kitchen";

fn flags(categories: Value) -> Value {
    let is_flagged = categories.as_object().is_some_and(|it| !it.is_empty());
    json!({ "results": [{ "flagged": is_flagged, "categories": categories }] })
}

async fn with_endpoint(habit: Habit) -> (TestPrompts, Server) {
    let server = Server::start(habit).await;
    let url = server.url.clone();
    let prompts =
        TestPrompts::start(|options, _| options.prompting.moderation.endpoint = Some(url));
    (prompts.await, server)
}

#[tokio::test]
async fn verdicts_come_with_category_rule_and_the_words() {
    let prompts = TestPrompts::start(|_, _| {}).await;
    let anna = prompts.person("anna");
    let allowed = anna.moderate(HARMLESS).await.expect("judges");
    assert_eq!(
        (allowed.verdict(), allowed.findings.len()),
        (pb::Verdict::Allow, 0)
    );
    let refused = anna
        .moderate("A naked woman on a bed, explicit porn")
        .await
        .expect("judges");
    assert_eq!(refused.verdict(), pb::Verdict::Refuse);
    let first = &refused.findings[0];
    assert_eq!(first.category, "sexual");
    assert!(!first.rule_id.is_empty() && !first.evidence.is_empty());
    assert!(!refused.policy.is_empty());
    refuses(anna.moderate(" ").await, "PROMPT_EMPTY");
    refuses(anna.moderate(&"a".repeat(1 << 20)).await, "PROMPT_TOO_LONG");
    prompts.stop().await;
}

#[tokio::test]
async fn what_is_refused_has_no_prompt_and_is_not_rewritten() {
    let prompts = TestPrompts::start(|_, _| {}).await;
    let anna = prompts.person("anna");
    let typed = "explicit porn of a naked woman";
    let refused = anna
        .prepare(order(pb::Family::Wan, typed))
        .await
        .expect("judges");
    assert_eq!(
        refused.moderation.as_ref().expect("one").verdict(),
        pb::Verdict::Refuse
    );
    assert_eq!((refused.prompt.as_str(), refused.tokens), ("", 0));
    assert_eq!(refused.original_prompt, typed);
    let request = pb::EnhanceRequest {
        prompt: typed.to_owned(),
        family: pb::Family::Wan.into(),
        ..Default::default()
    };
    let error = refuses(anna.enhance(request).await, "PROMPT_REFUSED");
    assert!(
        error
            .metadata
            .contains(&("category".to_owned(), "sexual".to_owned())),
        "{error:?}"
    );
    prompts.stop().await;
}

#[tokio::test]
async fn texts_are_judged_together_and_wishes_in_negative_prompts_too() {
    let prompts = TestPrompts::start(|_, _| {}).await;
    let anna = prompts.person("anna");
    let verdict = async |request| {
        let prepared = anna.prepare(request).await.expect("judges");
        prepared.moderation.expect("one").verdict()
    };
    let with_sheet = |prompt: &str, sheet: &str| pb::PrepareRequest {
        characters: vec![pb::Character {
            name: "Mira".to_owned(),
            sheet: sheet.to_owned(),
        }],
        ..order(pb::Family::Wan, prompt)
    };
    assert_eq!(
        verdict(with_sheet("Mira waves", "a green coat")).await,
        pb::Verdict::Allow
    );
    assert_eq!(
        verdict(with_sheet("Mira naked, porn", "ten years old")).await,
        pb::Verdict::Refuse
    );
    let with_negative = |negative: &str| pb::PrepareRequest {
        negative_prompt: negative.to_owned(),
        ..order(pb::Family::Wan, "a woman at the beach")
    };
    let usual = "nudity, blood, gore, watermark, low quality";
    assert_eq!(verdict(with_negative(usual)).await, pb::Verdict::Allow);
    assert_eq!(
        verdict(with_negative("clothes, watermark")).await,
        pb::Verdict::Refuse
    );
    prompts.stop().await;
}

#[tokio::test]
async fn adults_have_adult_content_where_the_operator_says_so_and_nobody_else() {
    let typed = "a naked woman on a bed";
    for (is_enabled, adult) in [(false, pb::Verdict::Refuse), (true, pb::Verdict::Allow)] {
        let prompts = TestPrompts::start(|options, _| {
            options.prompting.moderation.adult_content = is_enabled;
        });
        let prompts = prompts.await;
        let judged = prompts.adult("anna").moderate(typed).await.expect("judges");
        assert_eq!(judged.verdict(), adult);
        // Whoever has only said so, is not known to be one; nor does a result for an adult come to them.
        let declared = prompts.person("ben").moderate(typed).await.expect("judges");
        assert_eq!(declared.verdict(), pb::Verdict::Refuse);
        let prepared = async |person: crate::harness::Person| {
            let prepared = person.prepare(order(pb::Family::Wan, typed)).await;
            prepared.expect("judges").moderation.expect("one").verdict()
        };
        assert_eq!(prepared(prompts.adult("anna")).await, adult);
        assert_eq!(prepared(prompts.person("ben")).await, pb::Verdict::Refuse);
        prompts.stop().await;
    }
}

#[tokio::test]
async fn somebody_elses_moderation_makes_it_stricter_and_never_looser() {
    let (prompts, _server) = with_endpoint(Habit::Answers(flags(json!({ "hate": true })))).await;
    let anna = prompts.person("anna");
    let judged = anna.moderate(HARMLESS).await.expect("judges");
    assert_eq!(judged.verdict(), pb::Verdict::Refuse);
    assert_eq!(judged.findings[0].rule_id, "external.hate");
    prompts.stop().await;
    let (prompts, server) = with_endpoint(Habit::Answers(flags(json!({})))).await;
    let anna = prompts.person("anna");
    assert_eq!(
        anna.moderate(HARMLESS).await.expect("judges").verdict(),
        pb::Verdict::Allow
    );
    let own = anna.moderate("explicit porn").await.expect("judges");
    assert_eq!(own.verdict(), pb::Verdict::Refuse);
    assert!(server.asked() > 0);
    prompts.stop().await;
}

#[tokio::test]
async fn what_cannot_be_judged_does_not_pass() {
    for habit in [
        Habit::Fails(500),
        Habit::Fails(429),
        Habit::Floods(10 << 20),
        Habit::Answers(json!({ "results": [] })),
        Habit::Answers(json!({ "verdict": "fine" })),
        Habit::Redirects("http://127.0.0.1:9/v1".to_owned()),
    ] {
        let (prompts, _server) = with_endpoint(habit).await;
        let anna = prompts.person("anna");
        refuses(anna.moderate(HARMLESS).await, "MODERATION_UNAVAILABLE");
        let prepared = anna.prepare(order(pb::Family::Wan, HARMLESS)).await;
        let error = refuses(prepared, "MODERATION_UNAVAILABLE");
        assert!(error.retry_after.is_some());
        prompts.stop().await;
    }
    let server = Server::start(Habit::Hangs).await;
    let url = server.url.clone();
    let prompts = TestPrompts::start(|options, _| {
        options.prompting.moderation.endpoint = Some(url);
        options.prompting.moderation.endpoint_timeout = std::time::Duration::from_millis(200);
    });
    let prompts = prompts.await;
    let late = prompts.person("anna").moderate(HARMLESS).await;
    refuses(late, "MODERATION_UNAVAILABLE");
    prompts.stop().await;
}

#[tokio::test]
async fn the_sentence_model_finds_what_no_word_tells() {
    #[expect(
        clippy::disallowed_methods,
        reason = "scripts/env says where the model of the tests is"
    )]
    let folder = std::env::var_os("KINORA_MINILM");
    let folder = folder.expect("KINORA_MINILM names the model: see scripts/env");
    let prompts = TestPrompts::start(|options, _| {
        options.prompting.moderation.model = Some(folder.into());
    });
    let prompts = prompts.await;
    let anna = prompts.person("anna");
    let judged = anna.moderate(HARMLESS).await.expect("judges");
    assert_eq!(judged.verdict(), pb::Verdict::Allow, "{judged:?}");
    let judged = anna
        .moderate("two people having sex, close-up, erotic film")
        .await;
    let judged = judged.expect("judges");
    assert!(
        judged.findings.iter().any(|it| it.layer == "classifier"),
        "{judged:?}"
    );
    let long = "a quiet street in the rain. ".repeat(500);
    assert_eq!(
        anna.moderate(&long).await.expect("judges").verdict(),
        pb::Verdict::Allow
    );
    prompts.stop().await;
}
