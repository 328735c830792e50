//! Submissions that differ in their prompts and seeds alone.

use super::{Invalid, SentImage, Submission};
use crate::domain::sequence::MAX_BATCH;

/// What a batch may come to with every picture and text counted as often as it is used: two of the largest pictures, and
/// text. No more is taken in one call either.
const MAX_BYTES: usize = 33 << 20;

/// A submission for every prompt with every seed, prompt by prompt. An empty list stands for the one of the template.
///
/// # Errors
/// [`Invalid`] when both lists are empty, when the template says what a list says, for too many submissions, and for more
/// than a batch may come to.
pub fn every_pair(
    template: &Submission,
    prompts: &[String],
    seeds: &[u64],
) -> Result<Vec<Submission>, Invalid> {
    check_beside(template, prompts, seeds)?;
    let own = [template.prompt.clone()];
    let prompts = if prompts.is_empty() { &own } else { prompts };
    let seeds = match seeds {
        [] => vec![template.seed],
        seeds => seeds.iter().copied().map(Some).collect(),
    };
    check_amount(template, prompts, seeds.len())?;
    let mut submissions = Vec::with_capacity(prompts.len() * seeds.len());
    for prompt in prompts {
        for seed in &seeds {
            submissions.push(Submission {
                prompt: prompt.clone(),
                seed: *seed,
                ..template.clone()
            });
        }
    }
    Ok(submissions)
}

fn check_beside(template: &Submission, prompts: &[String], seeds: &[u64]) -> Result<(), Invalid> {
    if prompts.is_empty() && seeds.is_empty() {
        let text = "prompts are required, unless `seeds` or `requests` are there";
        return Err(Invalid::new("BATCH_SIZE_INVALID", "prompts", text));
    }
    let beside = |field, text: &str| Err(Invalid::new("FIELDS_CONFLICT", field, text));
    if !prompts.is_empty() && !template.prompt.is_empty() {
        return beside(
            "template.prompt",
            "the template has a prompt beside `prompts`",
        );
    }
    if !seeds.is_empty() && template.seed.is_some() {
        return beside("template.seed", "the template has a seed beside `seeds`");
    }
    Ok(())
}

fn check_amount(template: &Submission, prompts: &[String], seeds: usize) -> Result<(), Invalid> {
    let count = prompts.len().saturating_mul(seeds);
    if count > MAX_BATCH {
        let text =
            format!("prompts and seeds make {count} videos; a batch has at most {MAX_BATCH}");
        let invalid = Invalid::new("BATCH_SIZE_INVALID", "prompts", text);
        return Err(invalid.with("count", count).with("max", MAX_BATCH));
    }
    let picture = |image: &Option<SentImage>| image.as_ref().map_or(0, |it| it.bytes().len());
    let negative = template.negative_prompt.as_deref().unwrap_or_default();
    let characters = template.characters.iter();
    let wishes: usize = characters.map(|it| it.name.len() + it.sheet.len()).sum();
    let common = picture(&template.image)
        + picture(&template.last_image)
        + negative.len()
        + template.style.len()
        + wishes;
    let texts: usize = prompts.iter().map(String::len).sum();
    let bytes = common * count + texts * seeds;
    if bytes > MAX_BYTES {
        let text = format!(
            "the batch comes to {bytes} bytes, every picture and text counted as often as it is used; \
             it may have at most {MAX_BYTES}"
        );
        let invalid = Invalid::new("BATCH_TOO_LARGE", "prompts", text);
        return Err(invalid.with("bytes", bytes).with("max", MAX_BYTES));
    }
    Ok(())
}

/// Checks what the uploads of a request come to, so far, each counted as often as it is used.
///
/// # Errors
/// [`Invalid`] when it is more than a batch may come to.
pub fn check_uploads(field: &'static str, bytes: usize) -> Result<(), Invalid> {
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    let text = format!(
        "the uploads come to more than {MAX_BYTES} bytes, each counted as often as it is used"
    );
    Err(Invalid::new("BATCH_TOO_LARGE", field, text).with("max", MAX_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().copied().map(str::to_owned).collect()
    }

    fn pairs(template: &Submission, prompts: &[&str], seeds: &[u64]) -> Vec<(String, Option<u64>)> {
        let made = every_pair(template, &texts(prompts), seeds).expect("legal");
        assert!(made.iter().all(|it| it.steps == template.steps), "{made:?}");
        made.into_iter().map(|it| (it.prompt, it.seed)).collect()
    }

    #[track_caller]
    fn refuses(template: &Submission, prompts: &[&str], seeds: &[u64], expected: (&str, &str)) {
        let refused = every_pair(template, &texts(prompts), seeds).expect_err("illegal");
        assert_eq!((refused.reason, refused.field), expected, "{refused}");
    }

    fn prompted() -> Submission {
        Submission {
            prompt: "a".to_owned(),
            ..Submission::default()
        }
    }

    #[test]
    fn every_prompt_meets_every_seed() {
        let template = Submission {
            steps: Some(4),
            ..Submission::default()
        };
        let made = pairs(&template, &["a", "b"], &[1, 2]);
        let expected = [("a", 1), ("a", 2), ("b", 1), ("b", 2)];
        assert_eq!(
            made,
            expected.map(|(text, seed)| (text.to_owned(), Some(seed)))
        );
    }

    #[test]
    fn one_list_is_enough() {
        let made = pairs(&prompted(), &[], &[5, 6]);
        assert_eq!(made, [5, 6].map(|seed| ("a".to_owned(), Some(seed))));
        let seeded = Submission {
            seed: Some(5),
            ..Submission::default()
        };
        let made = pairs(&seeded, &["a", "b"], &[]);
        assert_eq!(made, ["a", "b"].map(|text| (text.to_owned(), Some(5))));
    }

    #[test]
    fn what_stands_beside_a_list_is_refused() {
        refuses(&prompted(), &[], &[], ("BATCH_SIZE_INVALID", "prompts"));
        refuses(
            &prompted(),
            &["b"],
            &[],
            ("FIELDS_CONFLICT", "template.prompt"),
        );
        let seeded = Submission {
            seed: Some(5),
            ..prompted()
        };
        refuses(&seeded, &[], &[1], ("FIELDS_CONFLICT", "template.seed"));
    }

    #[test]
    fn a_batch_has_a_hundred_videos_at_most() {
        let seeds: Vec<u64> = (0..101).collect();
        assert_eq!(pairs(&prompted(), &[], &seeds[..100]).len(), 100);
        refuses(&prompted(), &[], &seeds, ("BATCH_SIZE_INVALID", "prompts"));
        let none = Submission::default();
        refuses(
            &none,
            &["a", "b"],
            &seeds[..51],
            ("BATCH_SIZE_INVALID", "prompts"),
        );
    }

    #[test]
    fn a_picture_and_a_text_count_as_often_as_they_are_used() {
        let pictured = Submission {
            image: Some(SentImage::new(vec![0; 3 << 20])),
            ..prompted()
        };
        assert_eq!(pairs(&pictured, &[], &[1; 10]).len(), 10);
        refuses(&pictured, &[], &[1; 12], ("BATCH_TOO_LARGE", "prompts"));
        let long = "x".repeat(3 << 20);
        let none = Submission::default();
        refuses(&none, &[&long], &[1; 12], ("BATCH_TOO_LARGE", "prompts"));
    }
}
