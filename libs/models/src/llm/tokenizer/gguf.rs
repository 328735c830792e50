//! The vocabulary of a GGUF file.

use std::collections::{BTreeMap, HashMap};

use kinora_nn::{GgufMetadata, GgufValue};
use serde_json::{Value, json};

use super::{Token, Vocabulary, bpe_json, byte_level_bytes, sentence_piece_bytes};
use crate::llm::config::arrays_of;

/// Types of tokens in the file: texts, the unknown token, marks, and what was added as text.
const NORMAL: u64 = 1;
const UNKNOWN: u64 = 2;
const USER_DEFINED: u64 = 4;
const BYTE: u64 = 6;
/// Longest token whose splits are tried when merges are made from scores, in characters.
const MAX_PIECE_CHARACTERS: usize = 64;
/// How texts are split before Llama 3's vocabulary is applied, as its tokenizer has it.
const LLAMA_3_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A token as the file has it.
struct Piece<'a> {
    text: &'a str,
    kind: u64,
}

pub(super) fn vocabulary(metadata: &GgufMetadata) -> Result<Vocabulary, String> {
    let pieces = pieces(metadata)?;
    let model = metadata.get("tokenizer.ggml.model");
    match model.and_then(GgufValue::text) {
        Some("gpt2") => byte_level(metadata, &pieces),
        Some("llama") => sentence_piece(metadata, &pieces),
        Some(other) => Err(format!("a vocabulary of kind {other} is not supported")),
        None => Err("tokenizer.ggml.model is missing".to_owned()),
    }
}

fn pieces(metadata: &GgufMetadata) -> Result<Vec<Piece<'_>>, String> {
    let texts = arrays_of(metadata, "tokenizer.ggml.tokens")?;
    let kinds = arrays_of(metadata, "tokenizer.ggml.token_type")?;
    if texts.len() != kinds.len() || u32::try_from(texts.len()).is_err() {
        return Err("tokens and their types are not as many".to_owned());
    }
    let pairs = texts.iter().zip(kinds);
    let pieces = pairs.map(|(text, kind)| {
        let text = text.text().ok_or("a token is no text")?;
        let kind = kind.unsigned().ok_or("the type of a token is no number")?;
        Ok(Piece { text, kind })
    });
    pieces.collect()
}

fn byte_level(metadata: &GgufMetadata, pieces: &[Piece<'_>]) -> Result<Vocabulary, String> {
    let split = metadata.get("tokenizer.ggml.pre").and_then(GgufValue::text);
    let (pre_tokenizer, ignores_merges) = match split.unwrap_or("default") {
        "smollm" => (byte_level_split(true), false),
        "gpt-2" | "default" => (byte_level_split(false), false),
        "llama-bpe" | "llama3" | "llama-v3" => (llama_3_split(), true),
        other => return Err(format!("texts split as for {other} are not supported")),
    };
    let tokens = pieces.iter().map(|piece| match piece.kind {
        NORMAL => byte_level_bytes(piece.text).map_or(Token::Control, Token::Bytes),
        USER_DEFINED => Token::Bytes(piece.text.as_bytes().into()),
        _ => Token::Control,
    });
    let merges = arrays_of(metadata, "tokenizer.ggml.merges")?;
    let merges: Result<Vec<_>, &str> = merges
        .iter()
        .map(|merge| {
            merge
                .text()
                .and_then(|pair| pair.split_once(' '))
                .ok_or("a merge is no pair")
        })
        .collect();
    let texts = texts(pieces, |piece| piece.kind == NORMAL);
    let merges: Vec<_> = merges?
        .into_iter()
        .filter(|(left, right)| texts.contains_key(format!("{left}{right}").as_str()))
        .collect();
    let model = json!({
        "type": "BPE", "vocab": texts, "merges": merges, "ignore_merges": ignores_merges,
    });
    Ok(Vocabulary {
        tokens: tokens.collect(),
        controls: controls(pieces),
        json: bpe_json(model, Value::Null, pre_tokenizer),
        adds_space: false,
    })
}

/// How GPT-2 splits texts; with `Digits`, every digit is a token of its own.
fn byte_level_split(has_single_digits: bool) -> Value {
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    if !has_single_digits {
        return bytes;
    }
    let digits = json!({ "type": "Digits", "individual_digits": true });
    json!({ "type": "Sequence", "pretokenizers": [digits, bytes] })
}

fn llama_3_split() -> Value {
    let split = json!({
        "type": "Split", "pattern": { "Regex": LLAMA_3_SPLIT }, "behavior": "Isolated", "invert": false,
    });
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
    });
    json!({ "type": "Sequence", "pretokenizers": [split, bytes] })
}

fn sentence_piece(metadata: &GgufMetadata, pieces: &[Piece<'_>]) -> Result<Vocabulary, String> {
    let scores = arrays_of(metadata, "tokenizer.ggml.scores")?;
    let scores: Option<Vec<f64>> = scores.iter().map(GgufValue::float).collect();
    let scores = scores.filter(|scores| scores.len() == pieces.len());
    let scores = scores.ok_or("tokens and their scores are not as many")?;
    let tokens = pieces.iter().map(|piece| match piece.kind {
        NORMAL | BYTE => Token::Bytes(sentence_piece_bytes(piece.text)),
        USER_DEFINED => Token::Bytes(piece.text.as_bytes().into()),
        _ => Token::Control,
    });
    let unknown = pieces.iter().find(|piece| piece.kind == UNKNOWN);
    let texts = texts(pieces, |piece| {
        matches!(piece.kind, NORMAL | UNKNOWN | BYTE)
    });
    let mergeable: HashMap<&str, f64> = pieces
        .iter()
        .zip(&scores)
        .filter(|(piece, _)| piece.kind == NORMAL)
        .map(|(piece, &score)| (piece.text, score))
        .collect();
    let model = json!({
        "type": "BPE", "vocab": texts, "merges": merges_by_score(pieces, &mergeable),
        "unk_token": unknown.map(|piece| piece.text), "fuse_unk": true, "byte_fallback": true,
    });
    let adds_space = metadata.get("tokenizer.ggml.add_space_prefix");
    let adds_space = adds_space.and_then(GgufValue::bool).unwrap_or(true);
    let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let normalizer = if adds_space {
        let prepend = json!({ "type": "Prepend", "prepend": "▁" });
        json!({ "type": "Sequence", "normalizers": [prepend, spaces] })
    } else {
        spaces
    };
    Ok(Vocabulary {
        tokens: tokens.collect(),
        controls: controls(pieces),
        json: bpe_json(model, normalizer, Value::Null),
        adds_space,
    })
}

/// SentencePiece joins the two neighbours that make the token of the highest score. As a list of merges: the splits of
/// every token into two others, those of high scores first.
fn merges_by_score<'a>(
    pieces: &[Piece<'a>],
    scores: &HashMap<&'a str, f64>,
) -> Vec<(&'a str, &'a str)> {
    let mut merges = Vec::new();
    for (id, piece) in pieces.iter().enumerate() {
        let text = piece.text;
        let Some(&score) = scores.get(text) else {
            continue;
        };
        if piece.kind != NORMAL || text.chars().count() > MAX_PIECE_CHARACTERS {
            continue;
        }
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if scores.contains_key(left) && scores.contains_key(right) {
                merges.push((score, id, left, right));
            }
        }
    }
    merges.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    let pairs = merges.into_iter().map(|(_, _, left, right)| (left, right));
    pairs.collect()
}

/// Ids of the tokens that texts may become.
fn texts<'a>(
    pieces: &[Piece<'a>],
    is_text: impl Fn(&Piece<'a>) -> bool,
) -> BTreeMap<&'a str, usize> {
    let texts = pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| is_text(piece));
    texts.map(|(id, piece)| (piece.text, id)).collect()
}

fn controls(pieces: &[Piece<'_>]) -> BTreeMap<String, u32> {
    let marks = (0_u32..).zip(pieces);
    marks
        .filter(|(_, piece)| !matches!(piece.kind, NORMAL | UNKNOWN | USER_DEFINED | BYTE))
        .map(|(id, piece)| (piece.text.to_owned(), id))
        .collect()
}
