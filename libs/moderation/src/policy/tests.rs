use super::Policy;
use crate::assessment::{Audience, Verdict};
use crate::category::Category;

#[track_caller]
fn check_problems(text: &str, expected: &[&str]) {
    let error = Policy::parse(text).expect_err("a policy with problems");
    let fields: Vec<&str> = error
        .problems
        .iter()
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(fields, expected, "{error}");
}

#[test]
fn defaults_refuse_adult_content_to_all() {
    let policy = Policy::built_in().expect("the defaults");
    for audience in [Audience::General, Audience::VerifiedAdult] {
        assert_eq!(policy.verdict(Category::Sexual, audience), Verdict::Refuse);
    }
    assert!(!policy.has_adult_content());
}

#[test]
fn adult_content_is_for_verified_adults() {
    let policy = Policy::parse("adult_content = true").expect("a policy");
    assert_eq!(
        policy.verdict(Category::Sexual, Audience::General),
        Verdict::Refuse
    );
    assert_eq!(
        policy.verdict(Category::Sexual, Audience::VerifiedAdult),
        Verdict::Allow
    );
    for category in Category::ALL
        .into_iter()
        .filter(|category| *category != Category::Sexual)
    {
        let general = policy.verdict(category, Audience::General);
        assert_eq!(policy.verdict(category, Audience::VerifiedAdult), general);
    }
}

#[test]
fn an_operator_changes_a_verdict_and_thresholds() {
    let text = "[category.hate]\ngeneral = \"review\"\nreview_at = 0.3";
    let policy = Policy::parse(text).expect("a policy");
    assert_eq!(
        policy.verdict(Category::Hate, Audience::General),
        Verdict::Review
    );
    let verdict = |score| policy.verdict_at(Category::Hate, Audience::General, score, None);
    assert_eq!(verdict(0.29), None);
    assert_eq!(verdict(0.31), Some(Verdict::Review));
    assert_ne!(policy.id(), Policy::built_in().expect("the defaults").id());
}

#[test]
fn all_problems_are_told_with_their_fields() {
    check_problems(
        r#"
            adult_content = "yes"
            allowed = ["x"]
            disabled_rules = ["no-such-rule"]
            colour = 1
            [category.hate]
            general = "maybe"
            review_at = 2.0
            [category.weather]
            [[lexicon]]
            category = "hate"
            terms = []
        "#,
        &[
            "adult_content",
            "allowed[0]",
            "category.hate.general",
            "category.hate.review_at",
            "category.weather",
            "colour",
            "disabled_rules[0]",
            "lexicon[0].terms",
        ],
    );
    check_problems("= 1", &["policy"]);
    check_problems(
        "[category.hate]\nreview_at = 0.95",
        &["category.hate.review_at"],
    );
}

#[test]
fn always_refused_categories_cannot_be_loosened() {
    check_problems(
        r#"
            disabled_rules = ["minor-near-sexual", "real-person-term"]
            [category.child_sexual]
            general = "review"
            verified_adult = "allow"
            refuse_at = 0.9
            [category.real_person_sexual]
            review_at = 0.7
        "#,
        &[
            "category.child_sexual.general",
            "category.child_sexual.refuse_at",
            "category.child_sexual.verified_adult",
            "category.real_person_sexual.review_at",
            "disabled_rules[0]",
            "disabled_rules[1]",
        ],
    );
}

#[test]
fn always_refused_categories_may_be_tightened() {
    let policy = Policy::parse("[category.child_sexual]\nreview_at = 0.1\nrefuse_at = 0.2");
    let policy = policy.expect("a policy");
    let verdict = policy.verdict_at(Category::ChildSexual, Audience::VerifiedAdult, 0.2, None);
    assert_eq!(verdict, Some(Verdict::Refuse));
}
