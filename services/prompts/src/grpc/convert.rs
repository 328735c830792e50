//! Domain types from and to the contract.

use kinora_access::Age;
use kinora_enhancement::{Character, Family, Mode};
use kinora_moderation::{Audience, Layer, Verdict, languages};
use kinora_proto::prompts::v1 as pb;
use prost_types::Timestamp;
use tonic::Request;
use uuid::Uuid;

use crate::app::{Asker, PolicyView, RuleView};
use crate::domain::Time;
use crate::domain::finding::TextFinding;
use crate::domain::order::{Enhancer, Order};
use crate::domain::prepared::{Moderation, Prepared};
use crate::domain::review::{Review, ReviewStatus};
use crate::error::Error;

/// Who calls, which the layer in front of the handlers has checked.
pub(super) fn asker<T>(request: &Request<T>) -> Result<Asker, Error> {
    let caller = kinora_access::caller(request).map_err(Error::Caller)?;
    Ok(Asker {
        owner: caller.principal().as_str().to_owned(),
        person: caller.subject,
        audience: match caller.age {
            Age::Verified => Audience::VerifiedAdult,
            Age::Unverified | Age::Declared => Audience::General,
        },
    })
}

/// The operator who calls.
pub(super) fn operator<T>(request: &Request<T>) -> Result<Uuid, Error> {
    let caller = kinora_access::caller(request).map_err(Error::Caller)?;
    Ok(caller.subject)
}

pub(super) fn order_from_pb(message: pb::PrepareRequest) -> Result<Order, Error> {
    Ok(Order {
        family: family_from_pb(message.family)?,
        mode: mode_from_pb(message.mode)?,
        enhancer: enhancer_from_pb(message.enhancer)?,
        prompt: message.prompt,
        negative_prompt: message.negative_prompt,
        characters: message
            .characters
            .into_iter()
            .map(character_from_pb)
            .collect(),
        style: message.style,
        language: message.language,
        request_review: message.request_review,
    })
}

pub(super) fn order_from_enhance(message: pb::EnhanceRequest) -> Result<Order, Error> {
    let order = order_from_pb(pb::PrepareRequest {
        prompt: message.prompt,
        negative_prompt: message.negative_prompt,
        family: message.family,
        mode: message.mode,
        characters: message.characters,
        style: message.style,
        language: message.language,
        enhancer: message.enhancer,
        request_review: false,
    })?;
    if order.family.is_none() {
        return Err(field("family", "is required"));
    }
    Ok(order)
}

fn character_from_pb(message: pb::Character) -> Character {
    Character {
        name: message.name,
        sheet: message.sheet,
    }
}

fn family_from_pb(family: i32) -> Result<Option<Family>, Error> {
    let family =
        pb::Family::try_from(family).map_err(|_| field("family", "is none that there is"))?;
    Ok(match family {
        pb::Family::Unspecified => None,
        pb::Family::Tiny => Some(Family::Tiny),
        pb::Family::Wan => Some(Family::Wan),
        pb::Family::Mochi => Some(Family::Mochi),
        pb::Family::Ovi720 => Some(Family::Ovi720),
        pb::Family::Ovi960 => Some(Family::Ovi960),
    })
}

const fn family_to_pb(family: Family) -> pb::Family {
    match family {
        Family::Tiny => pb::Family::Tiny,
        Family::Wan => pb::Family::Wan,
        Family::Mochi => pb::Family::Mochi,
        Family::Ovi720 => pb::Family::Ovi720,
        Family::Ovi960 => pb::Family::Ovi960,
    }
}

fn mode_from_pb(mode: i32) -> Result<Mode, Error> {
    let mode = pb::Mode::try_from(mode).map_err(|_| field("mode", "is none that there is"))?;
    Ok(match mode {
        pb::Mode::Unspecified | pb::Mode::Text => Mode::TextToVideo,
        pb::Mode::Image => Mode::ImageToVideo,
        pb::Mode::FirstAndLastImage => Mode::FirstLastToVideo,
    })
}

fn enhancer_from_pb(enhancer: i32) -> Result<Enhancer, Error> {
    let enhancer = pb::Enhancer::try_from(enhancer);
    let enhancer = enhancer.map_err(|_| field("enhancer", "is none that there is"))?;
    Ok(match enhancer {
        pb::Enhancer::Unspecified | pb::Enhancer::Auto => Enhancer::Auto,
        pb::Enhancer::None => Enhancer::None,
        pb::Enhancer::Rules => Enhancer::Rules,
        pb::Enhancer::Llm => Enhancer::Llm,
    })
}

const fn enhancer_to_pb(enhancer: Enhancer) -> pb::Enhancer {
    match enhancer {
        Enhancer::None => pb::Enhancer::None,
        Enhancer::Auto => pb::Enhancer::Auto,
        Enhancer::Rules => pb::Enhancer::Rules,
        Enhancer::Llm => pb::Enhancer::Llm,
    }
}

const fn verdict_to_pb(verdict: Verdict) -> pb::Verdict {
    match verdict {
        Verdict::Allow => pb::Verdict::Allow,
        Verdict::Review => pb::Verdict::Review,
        Verdict::Refuse => pb::Verdict::Refuse,
    }
}

const fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Lexicon => "lexicon",
        Layer::Pattern => "pattern",
        Layer::Classifier => "classifier",
        Layer::External => "external",
        Layer::Policy => "policy",
    }
}

fn finding_to_pb(found: TextFinding) -> pb::Finding {
    let finding = found.finding;
    pb::Finding {
        category: finding.category.id().to_owned(),
        verdict: verdict_to_pb(finding.verdict).into(),
        rule_id: finding.rule_id,
        layer: layer_name(finding.layer).to_owned(),
        score: finding.score.map(f64::from),
        evidence: finding.evidence,
        text: found.text.name().to_owned(),
    }
}

pub(super) fn moderation_to_pb(moderation: Moderation) -> pb::Moderation {
    pb::Moderation {
        verdict: verdict_to_pb(moderation.verdict).into(),
        findings: moderation.findings.into_iter().map(finding_to_pb).collect(),
        policy: moderation.policy,
        review_id: moderation.review.map(|id| id.to_string()),
        adult: moderation.is_adult,
    }
}

pub(super) fn prepared_to_pb(prepared: Prepared) -> pb::PreparedPrompt {
    pb::PreparedPrompt {
        object: "prompt".to_owned(),
        original_prompt: prepared.original,
        prompt: prepared.prompt,
        negative_prompt: prepared.negative_prompt,
        speech: prepared.speech,
        audio: prepared.audio,
        language: prepared.language,
        moderation: Some(moderation_to_pb(prepared.moderation)),
        enhancer: enhancer_to_pb(prepared.enhancer).into(),
        used: prepared.used,
        notes: prepared.notes,
        fallback_reason: prepared.fallback.map(|it| it.reason().to_owned()),
        tokens: prepared.tokens,
        cached: prepared.is_cached,
        elapsed_seconds: prepared.elapsed.as_secs_f64(),
    }
}

pub(super) fn policy_to_pb(policy: PolicyView) -> pb::Policy {
    let rule = |rule: RuleView| pb::CategoryRule {
        category: rule.category.id().to_owned(),
        verdict: verdict_to_pb(rule.verdict).into(),
        always_refused: rule.category.is_always_refused(),
    };
    pb::Policy {
        object: "policy".to_owned(),
        digest: policy.digest,
        categories: policy.rules.into_iter().map(rule).collect(),
        languages: languages().map(str::to_owned).to_vec(),
        enhancers: policy
            .enhancers
            .into_iter()
            .map(|it| enhancer_to_pb(it).into())
            .collect(),
        families: Family::ALL.map(|it| family_to_pb(it).into()).to_vec(),
    }
}

/// The id of a review. What cannot be one names none.
pub(super) fn review_id(text: &str) -> Result<Uuid, Error> {
    let id: Option<Uuid> = text.parse().ok();
    id.filter(|id| id.to_string() == text)
        .ok_or(Error::ReviewNotFound)
}

pub(super) fn status_from_pb(status: i32) -> Result<ReviewStatus, Error> {
    let status = pb::review::Status::try_from(status);
    let status = status.map_err(|_| field("status", "is none that there is"))?;
    Ok(match status {
        pb::review::Status::Unspecified | pb::review::Status::Pending => ReviewStatus::Pending,
        pb::review::Status::Approved => ReviewStatus::Approved,
        pb::review::Status::Refused => ReviewStatus::Refused,
    })
}

const fn status_to_pb(status: ReviewStatus) -> pb::review::Status {
    match status {
        ReviewStatus::Pending => pb::review::Status::Pending,
        ReviewStatus::Approved => pb::review::Status::Approved,
        ReviewStatus::Refused => pb::review::Status::Refused,
    }
}

pub(super) fn review_to_pb(review: Review) -> pb::Review {
    let characters = review.texts.characters.into_iter();
    pb::Review {
        id: review.id.to_string(),
        object: "review".to_owned(),
        status: status_to_pb(review.status).into(),
        owner: review.owner,
        prompt: review.texts.prompt,
        negative_prompt: review.texts.negative_prompt,
        style: review.texts.style,
        characters: characters
            .map(|(name, sheet)| pb::Character { name, sheet })
            .collect(),
        findings: review.findings.into_iter().map(finding_to_pb).collect(),
        requests: review.requests,
        create_time: Some(time_to_pb(review.create_time)),
        decide_time: review.decide_time.map(time_to_pb),
        decided_by: review.decided_by,
        note: review.note,
        purge_time: Some(time_to_pb(review.purge_time)),
    }
}

fn time_to_pb(time: Time) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}

const fn field(field: &'static str, problem: &'static str) -> Error {
    Error::Field { field, problem }
}
