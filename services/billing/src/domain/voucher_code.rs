//! Voucher codes as people carry them: 80 random bits in Crockford's base 32, and a check character of the same letters.
//!
//! Digits are elements of the field of 32. In a code they sum to zero, each times another power of an element that
//! generates the field. A wrong character changes one summand, and a swap of any two characters changes two by different
//! factors: either way the sum is no longer zero. So what was mistyped is told from what was guessed without a look at the
//! database. The check protects nothing, the random bits do.

use std::fmt;
use std::str::FromStr;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::Error;

/// Crockford's base 32: no digit or letter looks like another one, and no word comes out.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 80 bits: enough that nobody ever guesses one, and that a keyed hash of it cannot be turned round.
const RANDOM_BYTES: usize = 10;

/// The random ones, and the check.
const DIGITS: usize = 17;

/// Characters of a group. The last one has the check, too.
const GROUP: usize = 4;

/// By so many characters at its end a code is recognised in a list.
const HINT: usize = 4;

/// With all spaces and dashes that people put in.
const MAX_TYPED_CHARACTERS: usize = 64;

/// A code in full. Not printed by accident: `Debug` shows its hint only.
#[derive(Clone, PartialEq, Eq)]
pub struct VoucherCode([u8; DIGITS]);

/// The text is no code: some character of it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a voucher code")]
pub struct Mistyped;

/// The text cannot be a key. It is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has 32 bytes in hexadecimal")]
pub struct NotAVoucherKey;

impl VoucherCode {
    /// A new code, of the system's random bytes.
    ///
    /// # Errors
    /// [`Error::Broken`] when the system has none.
    pub fn generate() -> Result<Self, Error> {
        let mut random = [0; RANDOM_BYTES];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| Error::Broken("the system has no random bytes".to_owned()))?;
        Ok(Self::of(random))
    }

    /// The code of random bytes.
    fn of(random: [u8; RANDOM_BYTES]) -> Self {
        let mut number = random
            .iter()
            .fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
        let mut digits = [0; DIGITS];
        let [body @ .., check] = &mut digits;
        for digit in body.iter_mut().rev() {
            *digit = number.to_le_bytes()[0] & 31;
            number >>= 5;
        }
        *check = times_generator(weighted_sum(&body[..]));
        Self(digits)
    }

    /// The code as it is handed out, once: `XXXX-XXXX-XXXX-XXXXX`.
    #[must_use]
    pub fn reveal(&self) -> String {
        let plain = self.plain();
        let mut shown = String::with_capacity(DIGITS + DIGITS / GROUP);
        for (place, character) in plain.chars().enumerate() {
            if place > 0 && place % GROUP == 0 && place + 1 < DIGITS {
                shown.push('-');
            }
            shown.push(character);
        }
        shown
    }

    /// Its last characters, by which a person recognises it.
    #[must_use]
    pub fn hint(&self) -> String {
        self.plain().split_off(DIGITS - HINT)
    }

    fn plain(&self) -> String {
        let characters = self.0.iter().map(|digit| ALPHABET[usize::from(*digit)]);
        characters.map(char::from).collect()
    }
}

/// Case, spaces and dashes do not matter; O reads as 0, I and L as 1.
impl FromStr for VoucherCode {
    type Err = Mistyped;

    fn from_str(typed: &str) -> Result<Self, Mistyped> {
        if typed.chars().nth(MAX_TYPED_CHARACTERS).is_some() {
            return Err(Mistyped);
        }
        let mut digits = [0; DIGITS];
        let mut read = 0;
        for character in typed.chars().filter(|character| !is_filler(*character)) {
            let place = digits.get_mut(read).ok_or(Mistyped)?;
            *place = digit_of(character).ok_or(Mistyped)?;
            read += 1;
        }
        if read < DIGITS || weighted_sum(&digits) != 0 {
            return Err(Mistyped);
        }
        Ok(Self(digits))
    }
}

impl fmt::Debug for VoucherCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoucherCode(..{})", self.hint())
    }
}

/// The key under which codes are stored. Who has the database alone cannot try codes against it.
#[derive(Clone)]
pub struct VoucherKey(hmac::Key);

impl VoucherKey {
    /// What is stored of a code: HMAC-SHA256, 32 bytes.
    #[must_use]
    pub fn hash(&self, code: &VoucherCode) -> Vec<u8> {
        hmac::sign(&self.0, code.plain().as_bytes())
            .as_ref()
            .to_vec()
    }
}

/// 32 bytes in hexadecimal.
impl FromStr for VoucherKey {
    type Err = NotAVoucherKey;

    fn from_str(text: &str) -> Result<Self, NotAVoucherKey> {
        let bytes: Option<[u8; 32]> = hex::decode(text).ok().and_then(|it| it.try_into().ok());
        let bytes = bytes.ok_or(NotAVoucherKey)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl fmt::Debug for VoucherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VoucherKey(..)")
    }
}

/// The sum of all digits, each times the generator to the power of its distance from the end.
fn weighted_sum(digits: &[u8]) -> u8 {
    let next = |sum, digit: &u8| times_generator(sum) ^ digit;
    digits.iter().fold(0, next)
}

/// Multiplies by `x` in the field of 32 elements, polynomials modulo `x^5 + x^2 + 1`. That one is primitive: the powers of
/// `x` come round after 31 steps, so those of 17 characters all differ.
const fn times_generator(element: u8) -> u8 {
    let product = element << 1;
    if product & 32 == 0 {
        product
    } else {
        product ^ 0b10_0101
    }
}

/// Spaces and dashes, also those that programs put into texts by themselves.
fn is_filler(character: char) -> bool {
    let is_dash = matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    is_dash || character.is_whitespace()
}

fn digit_of(character: char) -> Option<u8> {
    let character = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let known = |letter: &u8| char::from(*letter) == character;
    let place = ALPHABET.iter().position(known)?;
    u8::try_from(place).ok()
}

#[cfg(test)]
mod tests;
