use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn key(digit: &str) -> VoucherKey {
    digit.repeat(64).parse().unwrap()
}

fn text_of(digits: [u8; DIGITS]) -> String {
    VoucherCode(digits).plain()
}

fn is_code(text: &str) -> bool {
    text.parse::<VoucherCode>().is_ok()
}

/// A code with these digits at these places: another digit is chosen so that the check fits.
fn code_with(given: [(usize, u8); 2]) -> [u8; DIGITS] {
    let mut digits = [7; DIGITS];
    for (place, digit) in given {
        digits[place] = digit;
    }
    let free = (0..DIGITS).find(|place| given.iter().all(|(taken, _)| taken != place));
    let free = free.unwrap();
    for digit in 0..32 {
        digits[free] = digit;
        if weighted_sum(&digits) == 0 {
            return digits;
        }
    }
    panic!("no digit at {free} makes a code");
}

#[test]
fn a_code_reads_back_as_it_was_written() {
    for random in [[0; RANDOM_BYTES], [255; RANDOM_BYTES], *b"0123456789"] {
        let code = VoucherCode::of(random);
        let shown = code.reveal();
        assert_eq!(shown.parse::<VoucherCode>(), Ok(code.clone()), "{shown}");
        assert_eq!(shown.len(), 20);
        assert!(shown.ends_with(&code.hint()));
    }
}

#[test]
fn the_form_is_fixed() {
    assert_eq!(
        VoucherCode::of([0; RANDOM_BYTES]).reveal(),
        "0000-0000-0000-00000"
    );
    // Worked out by hand: the powers 1 to 16 of x sum to 15, which is x^23; times 31, which is x^15, that is x^7, or 20: M.
    assert_eq!(
        VoucherCode::of([255; RANDOM_BYTES]).reveal(),
        "ZZZZ-ZZZZ-ZZZZ-ZZZZM"
    );
}

#[test]
fn a_code_may_be_typed_carelessly() {
    let code = VoucherCode::of(*b"\x00\x44\x32\x14\xc7\x42\x54\xb6\x35\xcf");
    let shown = code.reveal();
    for typed in [
        shown.to_lowercase(),
        shown.replace('-', ""),
        shown.replace('-', " \u{2013}\t"),
        format!("  {shown}\r\n"),
        shown.replace('0', "o").replace('1', "l"),
        shown.replace('0', "O").replace('1', "I"),
    ] {
        assert_eq!(typed.parse::<VoucherCode>(), Ok(code.clone()), "{typed:?}");
    }
    assert!(shown.contains('0') && shown.contains('1'), "{shown}");
}

#[test]
fn what_can_be_no_code_is_refused() {
    let code = VoucherCode::of(*b"abcdefghij").reveal();
    for typed in [
        String::new(),
        "-".to_owned(),
        code[1..].to_owned(),
        format!("{code}0"),
        format!("{code}{}", " ".repeat(45)),
        "U".repeat(DIGITS),
        "é".repeat(DIGITS),
        "\u{0}".repeat(DIGITS),
        // Full-width digits are digits to Unicode.
        "０".repeat(DIGITS),
        "*".repeat(1 << 20),
    ] {
        assert!(!is_code(&typed), "{typed:.80}");
    }
    assert!(is_code(&format!("{code}{}", " ".repeat(44))));
}

#[test]
fn every_wrong_character_is_noticed_wherever_it_stands() {
    for place in 0..DIGITS {
        for right in 0..32 {
            let digits = code_with([(place, right), (place, right)]);
            assert!(is_code(&text_of(digits)));
            for wrong in (0..32).filter(|wrong| *wrong != right) {
                let mut changed = digits;
                changed[place] = wrong;
                assert!(!is_code(&text_of(changed)), "{right} to {wrong} at {place}");
            }
        }
    }
}

#[test]
fn every_swap_of_two_characters_is_noticed_neighbours_or_not() {
    for first in 0..DIGITS {
        for second in first + 1..DIGITS {
            for (one, other) in (0..32).flat_map(|one| (0..one).map(move |other| (one, other))) {
                let mut digits = code_with([(first, one), (second, other)]);
                assert!(is_code(&text_of(digits)));
                digits.swap(first, second);
                let swap = (first, second, one, other);
                assert!(!is_code(&text_of(digits)), "{swap:?}");
            }
        }
    }
}

#[test]
fn codes_differ_and_are_hashed_under_the_key() {
    let codes: Vec<VoucherCode> = (0..1000)
        .map(|_| VoucherCode::generate().unwrap())
        .collect();
    let shown: HashSet<String> = codes.iter().map(VoucherCode::reveal).collect();
    assert_eq!(shown.len(), codes.len());
    let (code, other) = (&codes[0], &codes[1]);
    assert_eq!(key("a").hash(code), key("a").hash(code));
    assert_ne!(key("a").hash(code), key("a").hash(other));
    assert_ne!(key("a").hash(code), key("b").hash(code));
    assert_eq!(key("a").hash(code).len(), 32);
}

#[test]
fn a_key_has_32_bytes() {
    for text in [
        "",
        "ab",
        &"ab".repeat(31),
        &"ab".repeat(33),
        &"xy".repeat(32),
    ] {
        assert_eq!(
            text.parse::<VoucherKey>().unwrap_err(),
            NotAVoucherKey,
            "{text}"
        );
    }
}

#[test]
fn neither_code_nor_key_is_printed() {
    let code = VoucherCode::of(*b"abcdefghij");
    let printed = format!("{code:?}");
    assert!(
        printed.contains(&code.hint()) && printed.len() < DIGITS + 5,
        "{printed}"
    );
    assert_eq!(format!("{:?}", key("a")), "VoucherKey(..)");
}

proptest! {
    #[test]
    fn any_bytes_make_a_code_in_which_each_slip_of_a_finger_is_noticed(
        random in any::<[u8; RANDOM_BYTES]>(),
    ) {
        let code = VoucherCode::of(random);
        let plain = code.plain();
        prop_assert_eq!(plain.parse::<VoucherCode>(), Ok(code.clone()));
        prop_assert_eq!(code.reveal().parse::<VoucherCode>(), Ok(code));
        for place in 0..DIGITS {
            for letter in ALPHABET {
                let mut slipped = plain.clone().into_bytes();
                slipped[place] = *letter;
                let slipped = String::from_utf8(slipped).unwrap();
                prop_assert_eq!(is_code(&slipped), slipped == plain);
            }
            for other in place + 1..DIGITS {
                let mut slipped = plain.clone().into_bytes();
                slipped.swap(place, other);
                let slipped = String::from_utf8(slipped).unwrap();
                prop_assert_eq!(is_code(&slipped), slipped == plain);
            }
        }
    }
}
