//! The small model's world: one shape of one colour on one background that does one thing. A prompt is rewritten into the
//! sentence that the model was trained on, or left alone where that would lose what it asks for.

use crate::draft::{Draft, Enhanced};
use crate::language::Language;
use crate::prepare::Prepared;
use crate::rules::{Rules, TinyTemplate};
use crate::speech::quotes;
use crate::tags::Piece;
use crate::words::{pick, words};

use std::collections::BTreeMap;

/// What of a text belongs to the model's world, in the order of the text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scene {
    shapes: Vec<String>,
    colours: Vec<String>,
    backgrounds: Vec<String>,
    moves: Vec<String>,
    /// A colour of the subject that is only known as a background.
    impossible_colour: Option<String>,
    /// A colour of the background that is only known of subjects.
    impossible_background: Option<String>,
    /// The first words that the model does not know, each once.
    unknown: Vec<String>,
    /// Why the text is beyond the model whatever else it says.
    beyond: Option<&'static str>,
}

/// Rewrites a prompt for the small model.
pub(crate) fn enhance(
    rules: &Rules,
    draft: &Draft,
    mut prepared: Prepared,
    world: &TinyTemplate,
) -> Enhanced {
    if !prepared.characters.is_empty() || prepared.style.is_some() {
        let note = "the small model knows neither characters nor styles: they were left out";
        prepared.notes.push(note.to_owned());
    }
    let scene = read(world, &prepared.base, &prepared.pieces);
    let sentence = match scene.subject() {
        Ok((shape, colour)) => scene.sentence(world, shape, colour, &mut prepared),
        Err(why) => {
            prepared
                .notes
                .push(format!("{why}: the prompt was left as it is"));
            if prepared
                .language
                .is_some_and(|language| language != Language::ENGLISH)
            {
                prepared
                    .notes
                    .push("the small model knows English words alone".to_owned());
            }
            return rules.unchanged(draft, prepared);
        }
    };
    if scene.is_in_grammar() {
        return rules.unchanged(draft, prepared);
    }
    if !scene.unknown.is_empty() {
        let note = format!(
            "words that the model does not know: {}",
            scene.unknown.join(", ")
        );
        prepared.notes.push(note);
    }
    prepared.used.push("tiny.sentence".to_owned());
    let tags = prepared.tags();
    rules.finish(draft, sentence, tags, prepared)
}

/// How many of each are remembered, unknown words above all.
const MAX_REMEMBERED: usize = 20;

/// Whether a text asks for nothing else than another one: what the first names, the second has.
pub(crate) fn is_kept(world: &TinyTemplate, original: &str, enhanced: &str) -> bool {
    let text = |text: &str| read(world, text, &[Piece::Text(text.to_owned())]);
    let (original_scene, scene) = (text(original), text(enhanced));
    if original_scene.subject().is_err() {
        return original == enhanced;
    }
    let is_same = |asked: &[String], got: &[String]| match asked.first() {
        Some(asked) => got.first() == Some(asked),
        None => true,
    };
    is_same(&original_scene.shapes, &scene.shapes)
        && is_same(&original_scene.colours, &scene.colours)
        && is_same(&original_scene.backgrounds, &scene.backgrounds)
        && is_same(&original_scene.moves, &scene.moves)
        && scene.subject().is_ok()
}

impl Scene {
    /// Shape and colour of the one thing that is asked for; why not, where the model cannot draw it.
    fn subject(&self) -> Result<(&str, Option<&str>), String> {
        if let Some(why) = self.beyond {
            return Err(why.to_owned());
        }
        if let Some(colour) = &self.impossible_colour {
            return Err(format!("the model cannot draw a shape in {colour}"));
        }
        let shape = match self.shapes.as_slice() {
            [shape] => shape,
            [] => return Err("it names no shape that the model can draw".to_owned()),
            _ => return Err("it names several shapes, and the model draws one".to_owned()),
        };
        match self.colours.as_slice() {
            [] => Ok((shape, None)),
            [colour] => Ok((shape, Some(colour))),
            _ => Err("it names several colours, and the model draws one".to_owned()),
        }
    }

    /// Whether the text is of the model's own words and says everything.
    fn is_in_grammar(&self) -> bool {
        self.unknown.is_empty()
            && self.impossible_background.is_none()
            && [&self.shapes, &self.colours, &self.backgrounds, &self.moves]
                .iter()
                .all(|part| part.len() == 1)
    }

    /// The model's sentence, with notes on what was decided.
    fn sentence(
        &self,
        world: &TinyTemplate,
        shape: &str,
        colour: Option<&str>,
        prepared: &mut Prepared,
    ) -> String {
        let default = pick(&world.colours, &["colour", &prepared.base]);
        let colour = colour.or(default.map(String::as_str)).unwrap_or_default();
        let background = self.backgrounds.first().unwrap_or(&world.background);
        let motion = self.moves.first().unwrap_or(&world.motion);
        if let Some(asked) = &self.impossible_background {
            prepared.notes.push(format!(
                "the model cannot draw a background in {asked}: it is {background}"
            ));
        }
        if self.backgrounds.len() > 1 || self.moves.len() > 1 {
            let note = "the model draws one background and one motion: the first was taken";
            prepared.notes.push(note.to_owned());
        }
        let say = world
            .moves
            .get(motion)
            .map_or(motion.as_str(), |it| it.say.as_str());
        let sentence = world
            .sentence
            .replace("{colour}", colour)
            .replace("{shape}", shape)
            .replace("{motion}", say)
            .replace("{background}", background);
        sentence.replace("a orange", "an orange")
    }
}

/// Reads a text word by word.
fn read(world: &TinyTemplate, text: &str, pieces: &[Piece]) -> Scene {
    let mut scene = Scene::default();
    let found = words(text);
    let lower: Vec<String> = found.iter().map(|word| word.text.to_lowercase()).collect();
    let is_quoted = pieces.iter().any(|piece| matches!(piece, Piece::Speech(_)));
    let is_count = |word: &String| {
        world.counts.contains(word) || word.chars().any(|character| character.is_numeric())
    };
    if is_quoted || !quotes(text).is_empty() {
        scene.beyond = Some("the model can neither speak nor write");
    } else if lower.iter().any(is_count) {
        scene.beyond = Some("the model draws one thing, and cannot count");
    }
    let moved = read_moves(world, &lower, &mut scene);
    for (place, word) in lower.iter().enumerate() {
        let is_taken = moved.get(place).copied().unwrap_or_default();
        if is_taken || read_word(world, &lower, place, &mut scene) {
            continue;
        }
        if !world.known.contains(word) && !scene.unknown.contains(word) {
            let written = found.get(place);
            let is_name =
                written.is_some_and(|it| !it.is_first && it.text.starts_with(char::is_uppercase));
            if is_name && scene.beyond.is_none() {
                scene.beyond = Some("the model knows no names");
            }
            remember(&mut scene.unknown, word);
        }
    }
    scene
}

/// Finds motions, the longest first; true for every word that belongs to one.
fn read_moves(world: &TinyTemplate, lower: &[String], scene: &mut Scene) -> Vec<bool> {
    let mut found: Vec<(usize, usize, &String)> = Vec::new();
    for (id, motion) in &world.moves {
        for phrase in &motion.read {
            let phrase: Vec<&str> = phrase.split(' ').collect();
            let rows = lower.windows(phrase.len()).enumerate();
            let fits =
                rows.filter(|(_, row)| row.iter().zip(&phrase).all(|(word, part)| word == part));
            found.extend(fits.map(|(place, _)| (place, phrase.len(), id)));
        }
    }
    found.sort_by_key(|(place, length, _)| (std::cmp::Reverse(*length), *place));
    let mut taken = vec![false; lower.len()];
    let mut moves = Vec::new();
    for (place, length, id) in found {
        let Some(words) = taken.get_mut(place..place + length) else {
            continue;
        };
        if words.iter().any(|taken| *taken) || is_a_place(lower, place) {
            continue;
        }
        words.fill(true);
        moves.push((place, id));
    }
    moves.sort_unstable();
    for (_, id) in moves {
        remember(&mut scene.moves, id);
    }
    // The model knows one word for each, so a synonym counts as unknown to the grammar.
    for (word, taken) in lower.iter().zip(&taken) {
        if *taken && !world.known.contains(word) {
            remember(&mut scene.unknown, word);
        }
    }
    taken
}

/// "on the left" says where something is, and not where it goes.
fn is_a_place(lower: &[String], place: usize) -> bool {
    let Some([before, article]) = place.checked_sub(2).and_then(|from| lower.get(from..place))
    else {
        return false;
    };
    matches!(before.as_str(), "on" | "at" | "in") && article == "the"
}

/// Whether a word is a shape, a colour or a background.
fn read_word(world: &TinyTemplate, lower: &[String], place: usize, scene: &mut Scene) -> bool {
    let Some(word) = lower.get(place) else {
        return false;
    };
    let next = lower.get(place + 1);
    let is_background = next.is_some_and(|next| world.background_words.contains(next));
    if let Some(shape) = meaning(&world.shape, word) {
        remember(&mut scene.shapes, shape);
        return note_synonym(world, word, scene);
    }
    if let Some(colour) = meaning(&world.colour, word) {
        match is_background {
            true => scene.impossible_background = Some(word.clone()),
            false => remember(&mut scene.colours, colour),
        }
        return note_synonym(world, word, scene);
    }
    if let Some(background) = meaning(&world.backdrop, word) {
        let is_shade = next.is_some_and(|next| meaning(&world.colour, next).is_some());
        let of_shape = [place + 1, place + 2].iter().any(|ahead| {
            let between = lower.get(place + 1..*ahead).unwrap_or_default();
            let is_near = between.iter().all(|word| {
                matches!(
                    word.as_str(),
                    "small" | "big" | "bright" | "simple" | "solid" | "plain"
                )
            });
            is_near
                && lower
                    .get(*ahead)
                    .is_some_and(|word| meaning(&world.shape, word).is_some())
        });
        if of_shape {
            scene.impossible_colour = Some(word.clone());
        } else if !is_shade {
            remember(&mut scene.backgrounds, background);
        }
        return note_synonym(world, word, scene);
    }
    false
}

/// A word that means something here but that the model does not know makes the text worth rewriting.
fn note_synonym(world: &TinyTemplate, word: &String, scene: &mut Scene) -> bool {
    if !world.known.contains(word) {
        remember(&mut scene.unknown, word);
    }
    true
}

fn meaning<'a>(table: &'a BTreeMap<String, Vec<String>>, word: &str) -> Option<&'a String> {
    let mut entries = table.iter();
    let found = entries.find(|(_, words)| words.iter().any(|known| known == word));
    found.map(|(meaning, _)| meaning)
}

fn remember(list: &mut Vec<String>, item: &String) {
    if list.len() < MAX_REMEMBERED && !list.contains(item) {
        list.push(item.clone());
    }
}

#[cfg(test)]
mod tests {
    use crate::{Draft, Family, Rules};

    #[track_caller]
    fn check(prompt: &str, expected: &str) {
        let rules = Rules::embedded();
        let found = rules.enhance(&Draft::new(Family::Tiny, prompt)).unwrap();
        assert_eq!(found.prompt, expected, "{:?}", found.notes);
        let again = rules
            .enhance(&Draft::new(Family::Tiny, &found.prompt))
            .unwrap();
        assert_eq!(again.prompt, expected, "a second time");
    }

    #[test]
    fn synonyms_become_the_models_words() {
        check(
            "a crimson ball going right",
            "a red circle moves right on a black background",
        );
        check(
            "Emerald cube twirling, white backdrop",
            "a green square spins on a white background",
        );
        check(
            "an amber orb ascends over a silver background",
            "an orange circle moves up on a gray background",
        );
        check(
            "teal pyramid grows smaller",
            "a cyan triangle shrinks on a black background",
        );
    }

    #[test]
    fn what_is_missing_gets_the_defaults() {
        check("red star", "a red star stays still on a black background");
        check(
            "a dark blue square drops",
            "a blue square moves down on a black background",
        );
    }

    #[test]
    fn a_prompt_in_the_models_words_stays_as_it_is() {
        for prompt in [
            "a red circle moves right on a black background",
            "A blue star spinning on a white background",
            "gray background: one pink disc drifting from left to right",
        ] {
            check(prompt, prompt);
        }
    }

    #[test]
    fn what_the_model_cannot_draw_is_left_alone() {
        for prompt in [
            "a dragon breathes fire",
            "three red circles move right",
            "a red circle and a blue square",
            "a white circle on a black background",
            "a red ball that says \"hi\"",
            "a red and blue star",
            "the red ball of Anna moves right",
            "ein roter Kreis",
        ] {
            check(prompt, prompt);
        }
    }

    #[test]
    fn what_is_left_out_is_told() {
        let rules = Rules::embedded();
        let prompt = "a red ball flies left through a castle on a green background";
        let found = rules.enhance(&Draft::new(Family::Tiny, prompt)).unwrap();
        assert_eq!(
            found.prompt,
            "a red circle moves left on a black background"
        );
        let notes = found.notes.join("; ");
        assert!(
            notes.contains("castle") && notes.contains("green"),
            "{notes}"
        );
    }

    #[test]
    fn a_place_is_not_a_motion() {
        check(
            "a red star on the left rises",
            "a red star moves up on a black background",
        );
    }
}
