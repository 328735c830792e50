//! What makes a request of an operator one, however often it is sent.

use crate::error::Error;

const MAX_ID: usize = 128;

const MAX_NOTE: usize = 500;

/// Passes for 1 to 128 visible ASCII characters.
///
/// # Errors
/// [`Error::Field`] otherwise.
pub fn check_request_id(id: &str) -> Result<(), Error> {
    let is_legal = |c: char| c.is_ascii_graphic();
    if id.is_empty() || id.len() > MAX_ID || !id.chars().all(is_legal) {
        return Err(Error::Field {
            field: "request_id",
            problem: "has 1 to 128 visible ASCII characters",
        });
    }
    Ok(())
}

/// Passes for 1 to 500 characters, none of which is a control.
///
/// # Errors
/// [`Error::Field`] otherwise.
pub fn check_note(note: &str) -> Result<(), Error> {
    let characters = note.chars().count();
    let has_controls = note.chars().any(|c| c.is_control() && c != '\n');
    if note.trim().is_empty() || characters > MAX_NOTE || has_controls {
        return Err(Error::Field {
            field: "note",
            problem: "has 1 to 500 characters",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_visible() {
        let long = "x".repeat(129);
        for id in ["x", "a-b_c.D/9", &long[1..]] {
            assert!(check_request_id(id).is_ok(), "{id}");
        }
        for id in ["", " ", "a b", "ä", "a\n", "a\0", &long] {
            assert!(check_request_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn notes_say_something() {
        let long = "ä".repeat(501);
        for note in ["sorry", "zwei\nZeilen", &long[2..]] {
            assert!(check_note(note).is_ok(), "{note}");
        }
        for note in ["", "  \n", "a\0b", "\u{1b}[2J", &long] {
            assert!(check_note(note).is_err(), "{note}");
        }
    }
}
