//! What a list of jobs is to show.
//!
//! The database narrows a list by what it has an index for: the owner, the states, and by the ids, in which there is a
//! time, when jobs were made. Everything else is decided here, so that it is the same on every database: what a database
//! takes for the same letter, SQLite says of ASCII alone and PostgreSQL by its collation.

use super::job::{Job, State, Time};

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// Which jobs of an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In these states alone; in any when none is named.
    pub states: Vec<State>,
    /// Of this model alone; of any when it is empty.
    pub model: String,
    /// With these words.
    pub words: Words,
    /// Accepted then or later.
    pub created_after: Option<Time>,
    /// Accepted before then, and not then.
    pub created_before: Option<Time>,
}

impl Filter {
    /// Whether a job is to be shown.
    #[must_use]
    pub fn fits(&self, job: &Job) -> bool {
        let is_of_state = self.states.is_empty() || self.states.contains(&job.state);
        is_of_state
            && (self.model.is_empty() || self.model == job.spec.model)
            && self
                .created_after
                .is_none_or(|bound| job.create_time >= bound)
            && self
                .created_before
                .is_none_or(|bound| job.create_time < bound)
            && self.are_words_in_a_prompt_of(job)
    }

    /// All of them in what the owner wrote, or all of them in what the model got.
    fn are_words_in_a_prompt_of(&self, job: &Job) -> bool {
        let is_rewritten = job.prompting.is_some();
        self.words.are_in(&job.spec.prompt)
            || is_rewritten && self.words.are_in(job.original_prompt())
    }
}

/// Words that a text has to have, in any order, each also as a part of a word. Capital and small letters are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// The words of a text, between white space.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_lowercase).collect())
    }

    /// Whether a text has all of them.
    #[must_use]
    pub fn are_in(&self, text: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let text = text.to_lowercase();
        self.0.iter().all(|word| text.contains(word.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use kinora_ids::JobId;

    use super::*;
    use crate::domain::job::VideoSpec;
    use crate::domain::prompting::Prompting;

    fn job() -> Job {
        let spec = VideoSpec {
            model: "tiny".to_owned(),
            prompt: "Ein roter BALL, 100 % Überraschung".to_owned(),
            negative_prompt: "blurry".to_owned(),
            width: 64,
            height: 48,
            frames: 13,
            steps: 20,
            guidance: 3.25,
            seed: 1,
            fps: 8,
            image: None,
            last_image: None,
        };
        let now = Time::from_timestamp_micros(1_800_000_000_123_456).expect("a time");
        Job::queued(JobId::generate(), "anna".to_owned(), spec, now)
    }

    #[test]
    fn all_words_are_found_anywhere_and_signs_mean_themselves() {
        let is_found = |query: &str| Words::of(query).are_in(&job().spec.prompt);
        for query in [
            "",
            " ",
            "ball",
            "ball ROT",
            "überra",
            "ÜBERRASCHUNG",
            "100 %",
            "% 1",
        ] {
            assert!(is_found(query), "{query}");
        }
        for query in [
            "ball blau",
            "r_ter",
            "b%l",
            "100%",
            "blurry",
            "ueberraschung",
        ] {
            assert!(!is_found(query), "{query}");
        }
    }

    #[track_caller]
    fn check(expected: bool, change: impl FnOnce(&mut Filter, Time)) {
        let job = job();
        let mut filter = Filter::default();
        change(&mut filter, job.create_time);
        assert_eq!(filter.fits(&job), expected, "{filter:?}");
    }

    #[test]
    fn what_is_not_said_does_not_limit() {
        check(true, |_, _| {});
        check(true, |it, _| it.states = vec![State::Failed, State::Queued]);
        check(false, |it, _| it.states = vec![State::Failed]);
        check(true, |it, _| it.model = "tiny".to_owned());
        check(false, |it, _| it.model = "tin".to_owned());
        check(false, |it, _| it.words = Words::of("star"));
    }

    #[test]
    fn a_rewritten_prompt_is_found_by_either_of_its_forms() {
        let mut job = job();
        job.prompting = Some(Box::new(Prompting {
            original_prompt: "Ball".to_owned(),
            ..Prompting::default()
        }));
        job.spec.prompt = "a round toy in soft light".to_owned();
        for (query, is_found) in [("ball", true), ("soft toy", true), ("ball toy", false)] {
            let words = Words::of(query);
            let filter = Filter {
                words,
                ..Filter::default()
            };
            assert_eq!(filter.fits(&job), is_found, "{query}");
        }
    }

    #[test]
    fn the_first_moment_is_in_and_the_last_is_not() {
        let moment = TimeDelta::nanoseconds(1);
        check(true, |it, then| it.created_after = Some(then));
        check(false, |it, then| it.created_after = Some(then + moment));
        check(false, |it, then| it.created_before = Some(then));
        check(true, |it, then| it.created_before = Some(then + moment));
    }
}
