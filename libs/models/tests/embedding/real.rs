//! all-MiniLM-L6-v2 itself.

use serde::Deserialize;

use crate::support::{check_close, encoder, goldens, minilm};

#[derive(Deserialize)]
struct Golden {
    step: usize,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    vector: Vec<f32>,
}

#[test]
fn vectors_of_the_real_model_agree_with_the_reference() {
    let file = std::fs::read_to_string(goldens().join("minilm.json")).unwrap();
    let golden: Golden = serde_json::from_str(&file).unwrap();
    let encoder = encoder(&minilm());
    assert_eq!((encoder.width(), encoder.window_tokens()), (384, 256));
    let texts: Vec<&str> = golden.texts.iter().map(|text| text.text.as_str()).collect();
    let vectors = encoder.encode(&texts).unwrap();
    for (
        vector,
        Text {
            text,
            vector: expected,
        },
    ) in vectors.iter().zip(&golden.texts)
    {
        let found: Vec<f32> = vector.iter().step_by(golden.step).copied().collect();
        check_close(text, &found, expected);
    }
}

#[test]
fn texts_of_like_meaning_are_closer_than_others() {
    let encoder = encoder(&minilm());
    let texts = [
        "a dog runs on the beach",
        "a puppy plays by the sea",
        "quarterly tax report",
    ];
    let vectors = encoder.encode(&texts).unwrap();
    let cosine = |a: usize, b: usize| -> f32 {
        let pairs = vectors[a].iter().zip(&vectors[b]);
        pairs.map(|(a, b)| a * b).sum()
    };
    assert!(
        cosine(0, 1) > cosine(0, 2) + 0.3,
        "{} {}",
        cosine(0, 1),
        cosine(0, 2)
    );
}
