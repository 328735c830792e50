use super::*;

/// Pushes parts of a text; gives the pieces that were handed out, the text, and whether it was stopped.
fn handed_out(stops: &[&str], parts: &[&[u8]]) -> (Vec<String>, String, bool) {
    let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
    let mut answer = AnswerText::new(&stops);
    let mut pieces = Vec::new();
    let mut is_stopped = false;
    for part in parts {
        is_stopped = answer.push(part);
        if is_stopped {
            break;
        }
        pieces.extend(answer.next_piece());
    }
    answer.finish();
    pieces.extend(answer.next_piece());
    assert_eq!(pieces.concat(), answer.bytes_as_text());
    (pieces, answer.into_text(), is_stopped)
}

impl AnswerText {
    fn bytes_as_text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[test]
fn a_stop_text_is_found_across_tokens_and_never_handed_out() {
    let parts: [&[u8]; 4] = [b"one EN", b"D", b"ING two", b"three"];
    let (pieces, text, is_stopped) = handed_out(&["ENDING"], &parts);
    assert_eq!((text.as_str(), is_stopped), ("one ", true));
    assert_eq!(pieces, ["one "]);
}

#[test]
fn the_beginning_of_a_stop_text_that_was_none_is_handed_out_later() {
    let (pieces, text, is_stopped) = handed_out(&["\n\n"], &[b"a\n", b"b", b"\n"]);
    assert_eq!((text.as_str(), is_stopped), ("a\nb\n", false));
    assert_eq!(pieces, ["a", "\nb", "\n"]);
}

#[test]
fn the_earliest_of_several_stop_texts_counts() {
    let (_, text, is_stopped) = handed_out(&["two", "one"], &[b"zero one two"]);
    assert_eq!((text.as_str(), is_stopped), ("zero ", true));
}

#[test]
fn characters_are_handed_out_whole() {
    let clapper = "🎬".as_bytes();
    let (pieces, text, _) = handed_out(&[], &[b"a", &clapper[..2], &clapper[2..], &clapper[..3]]);
    assert_eq!(pieces, ["a", "🎬"]);
    assert_eq!(text, "a🎬");
}

#[test]
fn loops_are_noticed_and_lists_are_not() {
    let loops_at = |tokens: &[u32]| {
        let mut guard = RepetitionGuard::default();
        tokens.iter().position(|&token| guard.is_loop_after(token))
    };
    assert_eq!(loops_at(&[7; 40]), Some(23));
    let three: Vec<u32> = [1, 2, 3].repeat(20);
    assert_eq!(loops_at(&three), Some(23));
    let long: Vec<u32> = (0..64).collect::<Vec<u32>>().repeat(4);
    assert_eq!(loops_at(&long), Some(255));
    let counting: Vec<u32> = (0..100).flat_map(|number| [9, number]).collect();
    assert_eq!(loops_at(&counting), None);
    assert_eq!(loops_at(&[5; 23]), None);
    let late: Vec<u32> = (0..50).chain([1, 2].repeat(12)).collect();
    assert_eq!(loops_at(&late), Some(73));
}
