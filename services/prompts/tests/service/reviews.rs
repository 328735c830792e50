//! Prompts that a person has to look at.

use kinora_proto::prompts::v1 as pb;
use kinora_store::DatabaseUrl;

use crate::harness::{Person, TestPrompts, order, refuses};

/// What the built-in policy neither allows nor refuses.
pub const GREY: &str = "a soldier is decapitated, blood and guts everywhere";

async fn ask(person: &Person, prompt: &str) -> pb::PreparedPrompt {
    person.prepare(wanting(prompt)).await.expect("prepares")
}

fn wanting(prompt: &str) -> pb::PrepareRequest {
    pb::PrepareRequest {
        request_review: true,
        ..order(pb::Family::Wan, prompt)
    }
}

fn verdict(prepared: &pb::PreparedPrompt) -> pb::Verdict {
    prepared.moderation.as_ref().expect("a verdict").verdict()
}

fn review_id(prepared: &pb::PreparedPrompt) -> String {
    let moderation = prepared.moderation.as_ref().expect("a verdict");
    moderation.review_id.clone().expect("a review")
}

async fn start(url: &DatabaseUrl) -> TestPrompts {
    TestPrompts::start_on(url, |_| {}).await
}

kinora_store::on_both_databases! {
    async fn what_a_person_has_approved_is_allowed_to_its_owner(url: DatabaseUrl) {
        let prompts = start(&url).await;
        let (anna, ben, operator) =
            (prompts.person("anna"), prompts.person("ben"), prompts.operator());
        let first = ask(&anna, GREY).await;
        assert_eq!(verdict(&first), pb::Verdict::Review);
        let id = review_id(&first);
        assert_eq!(review_id(&ask(&anna, GREY).await), id, "one entry for the same text");
        let pending = operator.list(pb::review::Status::Pending).await.expect("lists");
        assert_eq!(pending.len(), 1);
        assert_eq!((pending[0].prompt.as_str(), pending[0].requests), (GREY, 2));
        assert!(!pending[0].findings.is_empty());
        let decided = operator.approve(&id).await.expect("approves");
        assert_eq!(decided.status(), pb::review::Status::Approved);
        assert_eq!(decided.note, "seen");
        operator.approve(&id).await.expect("the same again");
        refuses(operator.refuse(&id).await, "REVIEW_DECIDED");
        let allowed = ask(&anna, GREY).await;
        assert_eq!(verdict(&allowed), pb::Verdict::Allow);
        assert!(!allowed.prompt.is_empty());
        // Another text of hers, and hers of another, are others.
        assert_eq!(verdict(&ask(&anna, &format!("{GREY}!")).await), pb::Verdict::Review);
        assert_eq!(verdict(&ask(&ben, GREY).await), pb::Verdict::Review);
        prompts.stop().await;
    }

    async fn what_a_person_has_refused_stays_refused(url: DatabaseUrl) {
        let prompts = start(&url).await;
        let anna = prompts.person("anna");
        let id = review_id(&ask(&anna, GREY).await);
        prompts.operator().refuse(&id).await.expect("refuses");
        let refused = ask(&anna, GREY).await;
        assert_eq!(verdict(&refused), pb::Verdict::Refuse);
        assert_eq!(refused.prompt, "");
        let findings = &refused.moderation.as_ref().expect("a verdict").findings;
        assert_eq!(findings[0].rule_id, "review.refused");
        // Decisions outlive the process.
        prompts.stop().await;
        let prompts = start(&url).await;
        let again = ask(&prompts.person("anna"), GREY).await;
        assert_eq!(verdict(&again), pb::Verdict::Refuse);
        prompts.stop().await;
    }

    async fn the_queue_is_not_filled_by_one_or_by_asking_what_would_be(url: DatabaseUrl) {
        let prompts = start(&url).await;
        let (anna, operator) = (prompts.person("anna"), prompts.operator());
        let dry = anna.prepare(order(pb::Family::Wan, GREY)).await.expect("prepares");
        assert_eq!(verdict(&dry), pb::Verdict::Review);
        assert_eq!(dry.moderation.expect("a verdict").review_id, None);
        assert!(operator.list(pb::review::Status::Pending).await.expect("lists").is_empty());
        for number in 0..20 {
            ask(&anna, &format!("{GREY} {number}")).await;
        }
        refuses(anna.prepare(wanting(&format!("{GREY} once more"))).await, "REVIEW_LIMIT");
        // What waits already, and others, are not kept out.
        ask(&anna, &format!("{GREY} 3")).await;
        ask(&prompts.person("ben"), GREY).await;
        prompts.stop().await;
    }

    async fn the_same_prompt_asked_for_at_once_is_one_entry(url: DatabaseUrl) {
        let prompts = start(&url).await;
        let anna = prompts.person("anna");
        let asking = (0..8).map(|_| ask(&anna, GREY));
        let asked = futures::future::join_all(asking).await;
        let ids: std::collections::BTreeSet<String> = asked.iter().map(review_id).collect();
        assert_eq!(ids.len(), 1);
        prompts.stop().await;
    }

    async fn operators_alone_decide(url: DatabaseUrl) {
        let prompts = start(&url).await;
        let id = review_id(&ask(&prompts.person("anna"), GREY).await);
        let anna = prompts.no_operator();
        refuses(anna.list(pb::review::Status::Pending).await, "SCOPE_MISSING");
        refuses(anna.approve(&id).await, "SCOPE_MISSING");
        let operator = prompts.operator();
        for unknown in ["", "x", "01890000-0000-7000-8000-000000000000"] {
            refuses(operator.approve(unknown).await, "REVIEW_NOT_FOUND");
        }
        prompts.stop().await;
    }
}
