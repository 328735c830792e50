//! Recovery codes: for who has lost the second factor. Ten at a time, each good once.

use uuid::Uuid;

use crate::error::Error;
use crate::random;

/// As many as fit on a small piece of paper.
pub const CODES: usize = 10;

/// 120 bits: enough that a plain hash of the code cannot be turned round.
const CODE_BYTES: usize = 15;

/// No digit or letter looks like another one (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of a code without dashes.
const CODE_CHARACTERS: usize = CODE_BYTES * 8 / 5;

/// A code as a person sees it: `xxxxxx-xxxxxx-xxxxxx-xxxxxx`.
///
/// # Errors
/// [`Error::Broken`] when the system has no random bytes.
pub fn generate() -> Result<String, Error> {
    let bytes = random::bytes::<CODE_BYTES>()?;
    let number = bytes
        .iter()
        .fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    let mut code = String::with_capacity(CODE_CHARACTERS + 3);
    for place in 0..CODE_CHARACTERS {
        if place > 0 && place % 6 == 0 {
            code.push('-');
        }
        let index = (number >> (5 * place)) & 31;
        code.push(char::from(ALPHABET[usize::try_from(index).unwrap_or(0)]));
    }
    Ok(code)
}

/// What is stored of a user's code, however it was typed. None for what can be no code.
#[must_use]
pub fn hash(user: Uuid, typed: &str) -> Option<Vec<u8>> {
    if typed.len() > 64 {
        return None;
    }
    let plain: String = typed
        .chars()
        .filter(|c| *c != '-' && !c.is_whitespace())
        .map(|c| match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        })
        .collect();
    let is_code = plain.len() == CODE_CHARACTERS && plain.bytes().all(|b| ALPHABET.contains(&b));
    is_code.then(|| random::fingerprint(&format!("{user}/{plain}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_may_be_typed_carelessly() {
        let user = Uuid::now_v7();
        let code = generate().unwrap();
        let typed = code.to_uppercase().replace('-', " ").replace('0', "O");
        assert_eq!(hash(user, &code).unwrap(), hash(user, &typed).unwrap());
        assert_ne!(hash(user, &code), hash(Uuid::now_v7(), &code));
        assert_eq!(code.len(), 27);
    }

    #[test]
    fn what_is_no_code_has_no_hash() {
        for text in [
            "",
            "123456",
            "uuuuuu-uuuuuu-uuuuuu-uuuuuu",
            &"0".repeat(100),
        ] {
            assert_eq!(hash(Uuid::now_v7(), text), None, "{text:?}");
        }
    }
}
