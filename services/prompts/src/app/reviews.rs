//! What people have to look at, and what they decide.

use kinora_moderation::{Category, Verdict};
use kinora_store::page::{Page, Sizes};
use uuid::Uuid;

use super::App;
use crate::domain::finding::TextFinding;
use crate::domain::order::Order;
use crate::domain::prepared::Prepared;
use crate::domain::review::{Review, ReviewStatus, ReviewTexts};
use crate::error::Error;
use crate::store::Asked;

const SIZES: Sizes = Sizes {
    usual: 20,
    most: 100,
};

const MAX_NOTE_CHARS: usize = 1_000;

/// Says that a person has refused it.
const REFUSED_BY_PERSON: &str = "review.refused";

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its owner may generate it.
    Approve,
    /// Its owner may not.
    Refuse,
}

impl Decision {
    const fn status(self) -> ReviewStatus {
        match self {
            Self::Approve => ReviewStatus::Approved,
            Self::Refuse => ReviewStatus::Refused,
        }
    }
}

impl App {
    /// Applies what people have decided to a prompt that needs review, or puts it into the queue if the order wants that.
    ///
    /// # Errors
    /// [`Error::ReviewLimit`], [`Error::Database`], [`Error::Broken`].
    pub(super) async fn reviewed(
        &self,
        owner: &str,
        order: &Order,
        mut prepared: Prepared,
    ) -> Result<Prepared, Error> {
        if prepared.moderation.verdict != Verdict::Review {
            return Ok(prepared);
        }
        let Some(review) = self.review_of(owner, order, &prepared).await? else {
            return Ok(prepared);
        };
        prepared.moderation.review = Some(review.id);
        match review.status {
            ReviewStatus::Pending => {}
            ReviewStatus::Approved => prepared.moderation.verdict = Verdict::Allow,
            ReviewStatus::Refused => refuse(&mut prepared),
        }
        Ok(prepared)
    }

    async fn review_of(
        &self,
        owner: &str,
        order: &Order,
        prepared: &Prepared,
    ) -> Result<Option<Review>, Error> {
        let (digest, now) = (order.digest(), self.clock.now());
        if !order.request_review {
            let review = self.store.of(owner, &digest).await?;
            return Ok(review.filter(|review| review.purge_time > now));
        }
        let texts = texts_of(order);
        let findings = &prepared.moderation.findings;
        match self
            .store
            .ask(owner, &digest, &texts, findings, now)
            .await?
        {
            Asked::There(review) => Ok(Some(*review)),
            Asked::TooMany => Err(Error::ReviewLimit),
        }
    }

    /// A page of reviews, and the token of the next one.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::Database`], [`Error::Broken`].
    pub async fn list_reviews(
        &self,
        status: ReviewStatus,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Review>, String), Error> {
        let page = Page::of(SIZES, &["reviews", status.name()], size, token)?;
        let rows = self.store.list(status, &page).await?;
        Ok(page.cut(rows, |review| review.id))
    }

    /// One review.
    ///
    /// # Errors
    /// [`Error::ReviewNotFound`], [`Error::Database`], [`Error::Broken`].
    pub async fn get_review(&self, id: Uuid) -> Result<Review, Error> {
        self.store.get(id).await?.ok_or(Error::ReviewNotFound)
    }

    /// Decides a review, once.
    ///
    /// # Errors
    /// [`Error::ReviewNotFound`], [`Error::ReviewDecided`], [`Error::Field`], [`Error::Database`], [`Error::Broken`].
    pub async fn decide(
        &self,
        id: Uuid,
        decision: Decision,
        operator: Uuid,
        note: &str,
    ) -> Result<Review, Error> {
        if note.chars().count() > MAX_NOTE_CHARS {
            let (field, problem) = ("note", "has more than 1,000 characters");
            return Err(Error::Field { field, problem });
        }
        let (status, now) = (decision.status(), self.clock.now());
        let operator = operator.to_string();
        let decided = self.store.decide(id, status, &operator, note, now).await?;
        let review = decided.ok_or(Error::ReviewNotFound)?;
        if review.status != status {
            return Err(Error::ReviewDecided);
        }
        tracing::info!(review_id = %id, operator, status = status.name(), "review decided");
        Ok(review)
    }
}

fn refuse(prepared: &mut Prepared) {
    let category = prepared.moderation.findings.first();
    let category = category.map_or(Category::Sexual, |it| it.finding.category);
    let finding = TextFinding::of_decision(REFUSED_BY_PERSON, Verdict::Refuse, category);
    prepared.moderation.verdict = Verdict::Refuse;
    prepared.moderation.findings.insert(0, finding);
    prepared.prompt.clear();
    prepared.negative_prompt.clear();
    prepared.speech.clear();
    prepared.audio = None;
}

fn texts_of(order: &Order) -> ReviewTexts {
    let characters = order.characters.iter();
    ReviewTexts {
        prompt: order.prompt.clone(),
        negative_prompt: order.negative_prompt.clone(),
        style: order.style.clone(),
        characters: characters
            .map(|it| (it.name.clone(), it.sheet.clone()))
            .collect(),
    }
}
