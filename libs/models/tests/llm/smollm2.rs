//! Real weights: SmolLM2 says what it says in transformers.

use std::time::{Duration, Instant};

use kinora_models::llm::{
    ChatMessage, EngineOptions, FinishReason, JsonField, JsonFields, LanguageModel, LlmEngine,
    LlmRequest, Role, SamplingOptions, Uninterrupted,
};
use serde::Deserialize;

use crate::support;

/// What `tools/goldens/make_llm_goldens.py` stored.
#[derive(Deserialize)]
struct Reference {
    system: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    user: String,
    prompt: Vec<u32>,
    said: Vec<u32>,
    /// How much more likely the most likely token was than the second, at the closest step, in logits.
    least_margin: f64,
}

fn reference() -> Reference {
    let text = std::fs::read_to_string(support::goldens("smollm2.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn request(reference: &Reference, case: &Case, options: SamplingOptions) -> LlmRequest {
    let messages = vec![
        ChatMessage::new(Role::System, &reference.system),
        ChatMessage::new(Role::User, &case.user),
    ];
    support::request(messages, options)
}

/// Every second case from `first` on, so that two tests share the work. An answer that goes round in circles is cut off; up
/// to there it is the reference's.
fn check_answers(first: usize) {
    let reference = reference();
    let mut model = LanguageModel::load(&support::smollm2(), &support::options(2)).unwrap();
    assert!(reference.cases.len() >= 50);
    let mut cut = 0;
    for case in reference.cases.iter().skip(first).step_by(2) {
        let options = SamplingOptions {
            max_tokens: case.said.len(),
            ..SamplingOptions::default()
        };
        let request = request(&reference, case, options);
        let (template, tokenizer) = (model.template(), model.tokenizer());
        let prompt = template.tokens(&request.messages, tokenizer).unwrap();
        assert_eq!(prompt, case.prompt, "tokens of {:?}", case.user);
        let answer = model.continue_tokens(&prompt, &request, &mut Uninterrupted);
        let (outcome, tokens) = answer.unwrap();
        let said = case.said.get(..tokens.len()).unwrap();
        let (user, margin) = (&case.user, case.least_margin);
        assert_eq!(
            tokens, said,
            "answer to {user:?}, whose least margin is {margin}"
        );
        if tokens.len() < case.said.len() {
            assert_eq!(outcome.finish, FinishReason::Repetition, "{user:?}");
            cut += 1;
        }
    }
    println!("{cut} answers were cut off");
    assert!(cut <= 1, "{cut} answers were not compared to their end");
}

#[test]
fn greedy_answers_are_those_of_transformers() {
    check_answers(0);
}

#[test]
fn more_greedy_answers_are_those_of_transformers() {
    check_answers(1);
}

#[test]
fn an_engine_streams_samples_alike_and_keeps_to_json() {
    let reference = reference();
    let case = &reference.cases[1];
    let options = EngineOptions {
        model: support::options(2),
        queue: 4,
    };
    let engine = LlmEngine::start(&support::smollm2(), &options).unwrap();
    let sampling = SamplingOptions {
        max_tokens: 24,
        temperature: 0.8,
        top_k: 40,
        top_p: 0.95,
        repetition_penalty: 1.1,
        seed: 7,
        stop: Vec::new(),
    };
    let drawn = |seed| {
        let options = SamplingOptions {
            seed,
            ..sampling.clone()
        };
        let request = request(&reference, case, options);
        let mut generation = engine.generate(request).unwrap();
        let mut streamed = String::new();
        while let Some(piece) = futures::executor::block_on(generation.next_piece()) {
            streamed.push_str(&piece);
        }
        let outcome = generation.wait().unwrap();
        assert_eq!(streamed, outcome.text);
        assert_eq!(outcome.prompt_tokens, case.prompt.len());
        outcome.text
    };
    assert_eq!(drawn(7), drawn(7), "one seed, one answer");
    assert_ne!(drawn(7), drawn(8), "another seed, another answer");
    for max_tokens in [3, 60] {
        let options = SamplingOptions {
            max_tokens,
            ..sampling.clone()
        };
        let mut request = request(&reference, case, options);
        let field = |name: &str| JsonField {
            name: name.to_owned(),
            max_characters: 60,
        };
        request.constraint = Some(JsonFields::new(vec![field("prompt"), field("negative")]));
        let outcome = engine.generate(request).unwrap().wait().unwrap();
        let object: serde_json::Value = serde_json::from_str(&outcome.text).unwrap();
        println!("{object} ({:?})", outcome.finish);
        assert!(object["prompt"].is_string() && object["negative"].is_string());
        assert_eq!(object.as_object().unwrap().len(), 2);
        assert_eq!(outcome.finish == FinishReason::Length, max_tokens == 3);
    }
    let mut late = request(&reference, case, sampling);
    late.deadline = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    let outcome = engine.generate(late).unwrap().wait().unwrap();
    assert_eq!(
        (outcome.finish, outcome.completion_tokens),
        (FinishReason::Deadline, 0)
    );
}
