//! Tokens that are cut, changed, huge, or no tokens at all.

use proptest::prelude::*;

use super::*;

#[test]
fn cut_token_is_refused_wherever_it_is_cut() {
    let token = good();
    for end in 0..token.len() {
        assert!(verify(&token[..end]).is_err(), "cut at {end}");
        assert!(
            verify(&token[token.len() - end..]).is_err(),
            "the last {end}"
        );
    }
    for extra in [".", "A", "=", "\n", ".AAAA"] {
        assert!(verify(&format!("{token}{extra}")).is_err(), "{extra:?}");
        assert!(verify(&format!("{extra}{token}")).is_err(), "{extra:?}");
    }
}

#[test]
fn changed_bit_is_noticed_wherever_it_is() {
    let token = good();
    for (index, byte) in token.bytes().enumerate() {
        for bit in 0..7 {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = byte ^ (1 << bit);
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert!(verify(&changed).is_err(), "bit {bit} of byte {index}");
        }
    }
}

#[test]
fn huge_token_is_refused_unread() {
    check(&"A".repeat(1 << 20), TokenError::TooLong);
    check(&".".repeat(MAX_TOKEN_BYTES + 1), TokenError::TooLong);
    let long = Claims {
        scope: "a".repeat(MAX_TOKEN_BYTES),
        ..claims()
    };
    assert_eq!(sign(&long, KID, &key()), Err(TokenError::TooLong));
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in ".*") {
        prop_assert!(verify(&text).is_err());
    }

    #[test]
    fn no_three_parts_are_a_token(parts in proptest::collection::vec("[A-Za-z0-9_-]{0,80}", 1..5)) {
        prop_assert!(verify(&parts.join(".")).is_err());
    }

    #[test]
    fn no_signed_bytes_are_claims(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let token = sign_parts(header().to_string().as_bytes(), &bytes, &key());
        prop_assert_eq!(verify(&token), Err(TokenError::Claims));
        let token = sign_parts(&bytes, body().to_string().as_bytes(), &key());
        prop_assert_eq!(verify(&token), Err(TokenError::Header));
    }
}
