use super::*;

#[test]
fn characters_of_byte_level_vocabularies_stand_for_all_bytes() {
    let mut bytes: Vec<u8> = ('!'..='\u{143}').filter_map(byte_level_byte).collect();
    bytes.sort_unstable();
    assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    assert_eq!(byte_level_bytes("ĠaĊ").as_deref(), Some(&b" a\n"[..]));
    assert_eq!(byte_level_bytes("a b"), None);
}

#[test]
fn pieces_of_sentence_piece_stand_for_spaces_and_bytes() {
    assert_eq!(*sentence_piece_bytes("▁the"), *b" the");
    assert_eq!(*sentence_piece_bytes("<0xF0>"), [0xf0]);
    assert_eq!(*sentence_piece_bytes("<0xF>"), *b"<0xF>");
}
