use super::*;

fn fields() -> JsonFields {
    let field = |name: &str, max_characters| JsonField {
        name: name.to_owned(),
        max_characters,
    };
    JsonFields::new(vec![field("prompt", 8), field("a \"b\"", 2)])
}

/// Writes byte by byte; says where it stopped, or that all was accepted.
fn written(text: &[u8]) -> Result<JsonFields, usize> {
    let mut json = fields();
    for (at, byte) in text.iter().enumerate() {
        if !json.accepts(&[*byte]) {
            return Err(at);
        }
        json.write(&[*byte]);
    }
    Ok(json)
}

#[track_caller]
fn check_ending(text: &[u8], expected: &str) {
    let json = written(text).unwrap();
    let ending = json.ending();
    let mut bytes = text[..text.len() - ending.dropped_bytes].to_vec();
    bytes.extend(ending.text.as_bytes());
    let whole = String::from_utf8(bytes).unwrap();
    assert_eq!(whole, expected);
    let object: serde_json::Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(object.as_object().unwrap().len(), 2);
    assert!(written(whole.as_bytes()).unwrap().is_whole());
}

#[test]
fn whole_objects_are_accepted_and_nothing_after_them() {
    let text = r#"{"prompt": "a\n\"é🎬", "a \"b\"": ""}"#;
    let json = written(text.as_bytes()).unwrap();
    assert!(json.is_whole());
    assert!(!json.accepts(b" ") && !json.accepts(b""));
    assert!(fields().accepts(text.as_bytes()), "at once as byte by byte");
}

#[test]
fn what_is_no_such_object_is_refused_where_it_begins() {
    let cases: [(&[u8], usize); 9] = [
        (b"[", 0),
        (br#"{"other"#, 2),
        (br#"{"prompt": 1"#, 11),
        (br#"{"prompt": "123456789"#, 20),
        (br#"{"prompt": "\u0041"#, 13),
        (b"{\"prompt\": \"\n", 12),
        (b"{\"prompt\": \"\xff", 12),
        (b"{\"prompt\": \"\xc3\x28", 13),
        (b"{\"prompt\": \"\xed\xa0", 13),
    ];
    for (text, at) in cases {
        assert_eq!(
            written(text).unwrap_err(),
            at,
            "{:?}",
            String::from_utf8_lossy(text)
        );
    }
}

#[test]
fn an_object_that_is_cut_off_anywhere_can_be_ended() {
    check_ending(b"", r#"{"prompt": "", "a \"b\"": ""}"#);
    check_ending(br#"{"pro"#, r#"{"prompt": "", "a \"b\"": ""}"#);
    check_ending(br#"{"prompt": "abc"#, r#"{"prompt": "abc", "a \"b\"": ""}"#);
    check_ending(
        br#"{"prompt": "abc\"#,
        r#"{"prompt": "abc", "a \"b\"": ""}"#,
    );
    check_ending(
        b"{\"prompt\": \"abc\xf0\x9f",
        r#"{"prompt": "abc", "a \"b\"": ""}"#,
    );
    check_ending(
        br#"{"prompt": "abc","#,
        r#"{"prompt": "abc", "a \"b\"": ""}"#,
    );
    check_ending(
        br#"{"prompt": "abc", "a \"b\"": "x"#,
        r#"{"prompt": "abc", "a \"b\"": "x"}"#,
    );
    check_ending(
        br#"{"prompt": "abc", "a \"b\"": "x"}"#,
        r#"{"prompt": "abc", "a \"b\"": "x"}"#,
    );
}

#[test]
fn an_object_without_fields_is_empty() {
    let json = JsonFields::new(Vec::new());
    assert!(json.accepts(b"{}") && !json.accepts(b"{\""));
    assert_eq!(json.ending().text, "{}");
}
