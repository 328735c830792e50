//! Proto to domain and back.

use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::prompts::v1 as pb;

use crate::clients::call::CallError;
use crate::domain::prompting::{
    Answered, Character, Enhancer, Finding, PromptFamily, PromptMode, PromptOrder, Verdict,
};

/// Remarks that are kept with a job, and their length.
const MAX_NOTES: usize = 8;
const MAX_NOTE_CHARS: usize = 500;

pub(super) fn order_to_pb(order: &PromptOrder) -> pb::PrepareRequest {
    let mode = match order.mode {
        PromptMode::Text => pb::Mode::Text,
        PromptMode::Image => pb::Mode::Image,
        PromptMode::FirstAndLastImage => pb::Mode::FirstAndLastImage,
    };
    pb::PrepareRequest {
        prompt: order.prompt.clone(),
        negative_prompt: order.negative_prompt.clone(),
        family: family_to_pb(order.family).into(),
        mode: mode.into(),
        characters: order.characters.iter().map(character_to_pb).collect(),
        style: order.style.clone(),
        language: String::new(),
        enhancer: enhancer_to_pb(order.enhancer).into(),
        request_review: true,
    }
}

/// What became of these orders, in their order. What an answer leaves open is no answer.
pub(super) fn answers_for(
    orders: &[PromptOrder],
    prompts: Vec<pb::PreparedPrompt>,
) -> Result<Vec<Answered>, CallError> {
    let count = prompts.len();
    let answers: Option<Vec<Answered>> = prompts.into_iter().map(answered).collect();
    match answers {
        Some(answers) if count == orders.len() => Ok(answers),
        _ => {
            let text = "prompts answered with something else than was asked for";
            let error = PublicError::new(Kind::Internal, "ANSWER_INVALID", text);
            Err(CallError::Away(error))
        }
    }
}

/// None without a verdict, and when nothing is left of a prompt that may be generated.
fn answered(prompt: pb::PreparedPrompt) -> Option<Answered> {
    let enhancer = match prompt.enhancer() {
        pb::Enhancer::Rules => Enhancer::Rules,
        pb::Enhancer::Llm => Enhancer::Llm,
        pb::Enhancer::Unspecified | pb::Enhancer::None | pb::Enhancer::Auto => Enhancer::None,
    };
    let moderation = prompt.moderation?;
    let is_adult = moderation.adult;
    let verdict = verdict(moderation)?;
    if verdict == Verdict::Allow && prompt.prompt.trim().is_empty() {
        return None;
    }
    let notes = prompt.notes.into_iter().take(MAX_NOTES);
    Some(Answered {
        verdict,
        is_adult,
        prompt: plain(prompt.prompt),
        negative_prompt: plain(prompt.negative_prompt),
        enhancer,
        language: prompt.language.map(plain),
        notes: notes
            .map(|note| plain(note).chars().take(MAX_NOTE_CHARS).collect())
            .collect(),
        fallback_reason: prompt.fallback_reason.map(plain),
    })
}

fn verdict(moderation: pb::Moderation) -> Option<Verdict> {
    let told = moderation.verdict();
    let finding = moderation.findings.into_iter().next();
    let finding = finding.map(|finding| Finding {
        category: finding.category,
        rule_id: finding.rule_id,
        text: finding.text,
    });
    match told {
        pb::Verdict::Allow => Some(Verdict::Allow),
        pb::Verdict::Review => Some(Verdict::Review {
            review: moderation.review_id,
            finding,
        }),
        pb::Verdict::Refuse => Some(Verdict::Refuse { finding }),
        pb::Verdict::Unspecified => None,
    }
}

/// Without the NUL character, which PostgreSQL cannot keep.
fn plain(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "")
    } else {
        text
    }
}

const fn family_to_pb(family: PromptFamily) -> pb::Family {
    match family {
        PromptFamily::Unspecified => pb::Family::Unspecified,
        PromptFamily::Tiny => pb::Family::Tiny,
        PromptFamily::Wan => pb::Family::Wan,
        PromptFamily::Mochi => pb::Family::Mochi,
        PromptFamily::Ovi720 => pb::Family::Ovi720,
        PromptFamily::Ovi960 => pb::Family::Ovi960,
    }
}

const fn enhancer_to_pb(enhancer: Enhancer) -> pb::Enhancer {
    match enhancer {
        Enhancer::None => pb::Enhancer::None,
        Enhancer::Auto => pb::Enhancer::Auto,
        Enhancer::Rules => pb::Enhancer::Rules,
        Enhancer::Llm => pb::Enhancer::Llm,
    }
}

fn character_to_pb(character: &Character) -> pb::Character {
    pb::Character {
        name: character.name.clone(),
        sheet: character.sheet.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> PromptOrder {
        PromptOrder {
            prompt: "a ball".to_owned(),
            family: PromptFamily::Ovi960,
            mode: PromptMode::Image,
            style: "noir".to_owned(),
            enhancer: Enhancer::Llm,
            ..PromptOrder::default()
        }
    }

    fn prepared(verdict: pb::Verdict) -> pb::PreparedPrompt {
        pb::PreparedPrompt {
            prompt: "a round ball".to_owned(),
            moderation: Some(pb::Moderation {
                verdict: verdict.into(),
                findings: vec![pb::Finding {
                    category: "politics".to_owned(),
                    evidence: "words".to_owned(),
                    ..pb::Finding::default()
                }],
                review_id: Some("r".to_owned()),
                ..pb::Moderation::default()
            }),
            ..pb::PreparedPrompt::default()
        }
    }

    fn read(prompts: Vec<pb::PreparedPrompt>) -> Option<Answered> {
        let answers = answers_for(&[order()], prompts).ok()?;
        answers.into_iter().next()
    }

    #[test]
    fn order_goes_out_whole_and_asks_for_review() {
        let sent = order_to_pb(&order());
        assert_eq!(
            (sent.family(), sent.mode(), sent.enhancer()),
            (pb::Family::Ovi960, pb::Mode::Image, pb::Enhancer::Llm)
        );
        assert_eq!(
            (sent.prompt.as_str(), sent.style.as_str()),
            ("a ball", "noir")
        );
        assert!(sent.request_review);
    }

    #[test]
    fn verdicts_come_with_what_was_found() {
        let verdict = |told| read(vec![prepared(told)]).expect("an answer").verdict;
        assert_eq!(verdict(pb::Verdict::Allow), Verdict::Allow);
        let Verdict::Review { review, finding } = verdict(pb::Verdict::Review) else {
            panic!("a review is one")
        };
        assert_eq!(review.as_deref(), Some("r"));
        assert_eq!(finding.expect("a finding").category, "politics");
        assert!(matches!(
            verdict(pb::Verdict::Refuse),
            Verdict::Refuse { .. }
        ));
    }

    #[test]
    fn what_is_left_open_is_no_answer() {
        let silent = pb::PreparedPrompt {
            moderation: None,
            ..prepared(pb::Verdict::Allow)
        };
        let blank = pb::PreparedPrompt {
            prompt: " ".to_owned(),
            ..prepared(pb::Verdict::Allow)
        };
        let allowed = || prepared(pb::Verdict::Allow);
        for prompts in [
            vec![silent],
            vec![blank],
            vec![prepared(pb::Verdict::Unspecified)],
            vec![],
            vec![allowed(), allowed()],
        ] {
            assert_eq!(read(prompts), None);
        }
    }

    #[test]
    fn texts_can_be_kept() {
        let odd = pb::PreparedPrompt {
            prompt: "a\0 ball".to_owned(),
            notes: vec!["x".repeat(1000); 20],
            ..prepared(pb::Verdict::Allow)
        };
        let read = read(vec![odd]).expect("an answer");
        assert_eq!(read.prompt, "a ball");
        assert_eq!((read.notes.len(), read.notes[0].len()), (8, 500));
    }
}
