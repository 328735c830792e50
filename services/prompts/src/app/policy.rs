//! What is allowed, told to callers.

use kinora_moderation::{Audience, Category, Verdict};

use super::App;
use crate::domain::order::Enhancer;

/// What becomes of a category.
pub struct RuleView {
    /// Which one.
    pub category: Category,
    /// The strictest verdict that it leads to.
    pub verdict: Verdict,
}

/// What is allowed, and what the service can do.
pub struct PolicyView {
    /// Of the policy.
    pub digest: String,
    /// All categories.
    pub rules: Vec<RuleView>,
    /// Who can rewrite prompts.
    pub enhancers: Vec<Enhancer>,
}

impl App {
    /// What is allowed to an audience.
    pub fn policy(&self, audience: Audience) -> PolicyView {
        let policy = self.moderator.policy();
        let rule = |category| RuleView {
            category,
            verdict: policy.verdict(category, audience),
        };
        let mut enhancers = vec![Enhancer::None, Enhancer::Auto, Enhancer::Rules];
        if self.writer.is_some() {
            enhancers.push(Enhancer::Llm);
        }
        PolicyView {
            digest: policy.id().to_owned(),
            rules: Category::ALL.into_iter().map(rule).collect(),
            enhancers,
        }
    }
}
