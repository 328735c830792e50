//! Time, which passes only when a test says so.

use serde_json::Value;

use super::deliveries::Letter;
use super::world::{World, number, text};

/// What comes next, as time passes.
pub(super) enum Step {
    /// Something was done; there may be more.
    Done,
    /// These are to be sent now.
    Send(Vec<Letter>),
    /// Nothing is due any longer; it is as late as was asked for.
    Over,
}

/// Something that happens by itself.
enum Due {
    Renewal(String),
    Invoice(String),
    Expiry(String),
}

impl World {
    /// Lets time pass until the next thing that is due, but not beyond `until`. What is due at the same time as
    /// webhooks comes before them.
    pub(super) fn step(&mut self, until: i64) -> Step {
        let due = self.next_due().filter(|(at, _)| *at <= until);
        let letters_at = self.outbox.next_at().filter(|at| *at <= until);
        match (due, letters_at) {
            (Some((at, due)), letters_at) if letters_at.is_none_or(|letters| at <= letters) => {
                self.now = self.now.max(at);
                self.happen(due);
                Step::Done
            }
            (_, Some(at)) => {
                self.now = self.now.max(at);
                Step::Send(self.letters())
            }
            _ => {
                self.now = self.now.max(until);
                Step::Over
            }
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Renewal(id) => self.renew(&id),
            Due::Invoice(id) => self.advance_invoice(&id),
            Due::Expiry(id) => self.expire_session(&id),
        }
    }

    /// The earliest; of several, the one that was made first.
    fn next_due(&self) -> Option<(i64, Due)> {
        let renewals = self.of_kind("subscription").filter_map(renewal);
        let invoices = self.of_kind("invoice").filter_map(collection);
        let expiries = self.of_kind("checkout.session").filter_map(expiry);
        let all = renewals.chain(invoices).chain(expiries);
        all.min_by_key(|(at, _)| *at)
    }
}

fn renewal(subscription: &Value) -> Option<(i64, Due)> {
    let runs = ["active", "past_due"].contains(&text(subscription, "status"));
    let end = number(&subscription["items"]["data"][0], "current_period_end");
    runs.then(|| (end, Due::Renewal(text(subscription, "id").to_owned())))
}

fn collection(invoice: &Value) -> Option<(i64, Due)> {
    let field = match text(invoice, "status") {
        "draft" => "automatically_finalizes_at",
        "open" => "next_payment_attempt",
        _ => return None,
    };
    let at = invoice[field].as_i64()?;
    Some((at, Due::Invoice(text(invoice, "id").to_owned())))
}

fn expiry(session: &Value) -> Option<(i64, Due)> {
    let is_open = session["status"] == "open";
    let at = number(session, "expires_at");
    is_open.then(|| (at, Due::Expiry(text(session, "id").to_owned())))
}
