//! A text as the lexicon reads it, in several views, each with the way back to the text as it was sent.
//!
//! [`fold`](fold::fold) makes glyphs of a text: compatibility decomposition, lower case, no marks on letters, nothing that
//! cannot be seen. [`leet`](disguise::leet) undoes digits, symbols and lookalikes that stand for letters. A [`View`] is glyphs
//! as text, with one way of taking words apart undone: punctuation inside, letters repeated, letters spaced out.
//! All of it takes time in proportion to the text.

pub(crate) mod disguise;
pub(crate) mod fold;
pub(crate) mod view;

use self::disguise::{leet, leet_numbers};
pub(crate) use self::fold::{Glyph, is_boundary, is_invisible, is_kana};
use self::fold::{fold, has_hidden, reveal};
pub(crate) use self::view::View;

/// What a text is matched as: its glyphs, how far apart they are, and its views.
pub(crate) struct Scan {
    /// The characters that are seen.
    pub glyphs: Vec<Glyph>,
    /// How far from the start each glyph is: two a word, and one an ideograph.
    pub places: Vec<u32>,
    /// The first one is the text as it stands, without disguises undone.
    pub views: Vec<View>,
    /// Views with lookalikes, digits and symbols undone; matched against a lexicon of which the same was done.
    pub undisguised: Vec<View>,
}

impl Scan {
    fn of(glyphs: Vec<Glyph>) -> Self {
        let views = view::views(&glyphs);
        let mut undisguised = view::views(&leet(&glyphs));
        for view in leet_numbers(&glyphs)
            .iter()
            .flat_map(|glyphs| view::views(glyphs))
        {
            if undisguised.iter().all(|known| known.text != view.text) {
                undisguised.push(view);
            }
        }
        let places = view::places(&glyphs);
        Self {
            glyphs,
            places,
            views,
            undisguised,
        }
    }
}

/// The text as it is seen, and, where it has characters that only a program sees, as a program sees it.
pub(crate) fn scans(text: &str) -> Vec<Scan> {
    let mut scans = vec![Scan::of(fold(text))];
    if has_hidden(text) {
        scans.push(Scan::of(reveal(text)));
    }
    scans
}

/// A term of a lexicon as the first view of a text would have it.
pub(crate) fn folded_term(term: &str) -> String {
    view::plain(&fold(term)).text.trim().to_owned()
}

/// A term of a lexicon as an undisguised view would have it.
pub(crate) fn undisguised_term(term: &str) -> String {
    view::plain(&leet(&fold(term))).text.trim().to_owned()
}

/// A text as the lexicon reads it, with its disguises left as they are.
///
/// Compatibility forms, case, marks on letters and invisible characters are gone, and so is punctuation.
#[must_use]
pub fn folded(text: &str) -> String {
    folded_term(text)
}

#[cfg(test)]
mod tests {
    use super::{folded, scans, undisguised_term};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(folded(text), expected);
    }

    #[test]
    fn forms_cases_marks_and_invisible_characters_are_folded() {
        check("Ｎｕｄｅ", "nude");
        check("𝓃𝓊𝒹𝑒 ⓝⓤⓓⓔ 🅽🆄🅳🅴", "nude nude nude");
        check("n\u{200b}u\u{ad}d\u{feff}e\u{fe0f}", "nude");
        check("n\u{335}\u{336}ú\u{301}\u{301}de", "nude");
        check("STRASSE straße", "strasse strasse");
        check("ÉCOLE, l'école", "ecole l ecole");
        check("ｶﾞｰﾙ ガール", "カ\u{3099}ール カ\u{3099}ール");
        check("أطفــال", "اطفال");
        check("१० ١٠ 10", "10 10 10");
    }

    #[test]
    fn views_undo_what_takes_words_apart() {
        let has = |text: &str, word: &str| {
            let scans = scans(text);
            let seen = scans
                .iter()
                .flat_map(|scan| scan.views.iter().chain(&scan.undisguised));
            let mut seen = seen.map(|view| view.text.as_str());
            assert!(seen.any(|text| text.contains(word)), "{text} has {word}");
        };
        has("a n.u.d.e walk", "nude");
        has("a n-u-d-e walk", "nude");
        has("a n u d e walk", "nude");
        has("nu.de", "nude");
        has("nuuuuude", "nude");
        has("nnuuddee", "nude");
        has("boooobs", "boobs");
        has("l'eeeex", "l ex");
        has("nude\u{200b}beach", "nude beach");
        has("nudе", &undisguised_term("nude"));
        has("nud3", &undisguised_term("nude"));
        has("$3x", &undisguised_term("sex"));
        has("l4 r0p4 4 7u", &undisguised_term("ropa a tu"));
        has("h0w 70 bu1ld", &undisguised_term("how to build"));
        has("裸 照", "裸照");
        has("n\u{200b}ud\u{200b}\u{1}e", "nude");
        has("ヌード", "ぬーと\u{3099}");
        has("\u{e006e}\u{e0075}\u{e0064}\u{e0065}", "nude");
    }

    #[test]
    fn numbers_beside_units_and_names_stay_numbers() {
        for text in [
            "4K 55 1980s",
            "a 35mm 1515 lens",
            "mp4 80085",
            "120 fps 136",
        ] {
            let scans = scans(text);
            let numbers = text.split(' ').filter(|word| word.parse::<u32>().is_ok());
            for number in numbers {
                let mut views = scans[0].undisguised.iter();
                assert!(views.all(|view| view.text.contains(number)), "{text}");
            }
        }
    }

    #[test]
    fn what_is_taken_apart_is_no_farther_away() {
        let length = |text: &str| scans(text)[0].places.last().copied();
        assert_eq!(length("a red fox"), Some(6));
        assert_eq!(length("a r.e.d f-o-x"), Some(6));
        assert_eq!(length("r e d f o x"), Some(2));
        assert_eq!(length("红狐"), Some(2));
    }

    #[test]
    fn what_is_seen_leads_back_to_what_was_sent() {
        let text = "a 𝓃\u{200b}ú\u{301}de one";
        let scans = scans(text);
        let view = &scans[0].views[0];
        let at = view.text.find("nude").expect("the word");
        let glyphs = view.glyphs(at..at + 4).expect("its glyphs");
        let first = &scans[0].glyphs[glyphs.start];
        let last = &scans[0].glyphs[glyphs.end - 1];
        assert_eq!(&text[first.start..last.end], "𝓃\u{200b}ú\u{301}de");
    }
}
