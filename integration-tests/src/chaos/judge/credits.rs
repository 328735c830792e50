//! What is in billing's books: one settlement for every job, of what was delivered, and nothing that is still held.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sqlx::{PgConnection, Row};
use tokio::time::Instant;

use super::records::{count, judge_doubles, judge_rests};
use super::{Accepted, ChaosMesh, Client, Verdict};
use crate::billing::ALLOWANCE;
use crate::chaos::table::row;

/// How long settlements may take: what nobody told, the sweep finds once it is ten minutes old.
const SETTLE: Duration = Duration::from_secs(13 * 60);

/// What must be told to billing, now or soon.
const UNTOLD: [(&str, &str); 2] = [
    (
        "settlements that billing was not told",
        "SELECT count(*) FROM settlement WHERE end_time IS NULL",
    ),
    (
        "jobs that are over and still hold credits",
        "SELECT count(*) FROM finished_job WHERE held_credits IS NOT NULL",
    ),
];

const CONTRADICTIONS: [(&str, &str); 1] = [(
    "settlements were refused by billing",
    "SELECT count(*) FROM settlement WHERE failure IS NOT NULL",
)];

const OPEN: [(&str, &str); 1] = [(
    "holds that are open",
    "SELECT count(*) FROM holds WHERE state = 1",
)];

const STRANGERS: [(&str, &str); 1] = [(
    "transfers are of jobs without a hold",
    "SELECT count(*) FROM transfers WHERE job_id IS NOT NULL \
     AND job_id NOT IN (SELECT job_id FROM holds)",
)];

const HOLDS: &str = "SELECT h.job_id::text AS job, h.state, h.captured, h.lease, \
       count(*) FILTER (WHERE t.kind = 2) AS holds, \
       count(*) FILTER (WHERE t.kind = 3) AS captures, \
       count(*) FILTER (WHERE t.kind = 4) AS releases \
     FROM holds h LEFT JOIN transfers t ON t.job_id = h.job_id GROUP BY h.job_id";

/// Credits that all clips together have cost, by the entries.
const REVENUE: &str =
    "SELECT coalesce(sum(amount), 0)::bigint FROM entries WHERE account = 'system:revenue'";

/// What became of credits. What is wrong with that is in the [`Verdict`].
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Holds that were made, for jobs and for submissions that came to nothing.
    pub holds: usize,
    /// Holds that were captured.
    pub captured: usize,
    /// Credits that were captured.
    pub captured_credits: i64,
    /// Holds that were released.
    pub released: usize,
    /// Of these, those of submissions that came to nothing.
    pub without_job: usize,
    /// Holds that lapsed.
    pub lapsed: usize,
    /// Holds that are open.
    pub open: usize,
    /// How long it took, with all jobs over, until nothing was open any more.
    pub wait: Duration,
    /// What the proof of the ledger found.
    pub problems: usize,
}

impl Settled {
    /// As rows of a table.
    pub(super) fn rows(&self) -> String {
        let captured = format!("{}, {} credits", self.captured, self.captured_credits);
        let released = format!("{}, {} without a job", self.released, self.without_job);
        [
            row("holds made", self.holds),
            row("- captured", captured),
            row("- released", released),
            row("- lapsed", self.lapsed),
            row("- open at the end", self.open),
            row(
                "waited for settlements at the end",
                format!("{} s", self.wait.as_secs()),
            ),
            row("problems of the ledger", self.problems),
        ]
        .concat()
    }

    fn note(&mut self, hold: &Hold) {
        self.holds += 1;
        self.captured_credits += hold.captured;
        match hold.state {
            State::Open => self.open += 1,
            State::Captured => self.captured += 1,
            State::Released => self.released += 1,
            State::Lapsed => self.lapsed += 1,
        }
    }
}

/// A hold, and the transfers about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    state: State,
    captured: i64,
    lease: Option<i64>,
    transfers: Transfers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Captured,
    Released,
    Lapsed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transfers {
    holds: i64,
    captures: i64,
    releases: i64,
}

/// What a job has to have paid.
struct Due {
    caller: usize,
    /// The lease under which it delivered, and the price of what it delivered.
    delivered: Option<(i64, i64)>,
}

impl Due {
    /// The hold as it has to be.
    fn hold(&self) -> Hold {
        match self.delivered {
            Some((lease, price)) => Hold {
                state: State::Captured,
                captured: price,
                lease: Some(lease),
                transfers: Transfers {
                    holds: 1,
                    captures: 1,
                    releases: 0,
                },
            },
            None => Hold {
                state: State::Released,
                captured: 0,
                lease: None,
                transfers: Transfers {
                    holds: 1,
                    captures: 0,
                    releases: 1,
                },
            },
        }
    }

    fn price(&self) -> i64 {
        self.delivered.map_or(0, |(_, price)| price)
    }
}

/// Waits for every settlement and compares what billing has with what was delivered. All accepted jobs have ended.
pub(super) async fn judge(verdict: &mut Verdict, mesh: &ChaosMesh, accepted: &[Accepted]) {
    let begun = Instant::now();
    let deadline = begun + SETTLE;
    let mut jobs = mesh.database.connect().await.unwrap();
    let mut books = mesh.billing_books().await.unwrap();
    judge_rests(verdict, &mut jobs, &UNTOLD, deadline).await;
    judge_rests(verdict, &mut books, &OPEN, deadline).await;
    verdict.settled.wait = begun.elapsed();
    judge_doubles(verdict, &mut jobs, &CONTRADICTIONS).await;
    judge_doubles(verdict, &mut books, &STRANGERS).await;
    let dues = dues(mesh, accepted, &mut jobs).await;
    let holds = holds(&mut books).await;
    for hold in holds.values() {
        verdict.settled.note(hold);
    }
    let without_job = holds.keys().filter(|job| !dues.contains_key(*job));
    verdict.settled.without_job = without_job.count();
    verdict.miscounted.extend(differences(&dues, &holds));
    let paid = count(&mut books, REVENUE).await;
    judge_balances(verdict, mesh, &dues, paid).await;
    judge_ledger(verdict, mesh).await;
}

/// What every accepted job has to have paid.
async fn dues(
    mesh: &ChaosMesh,
    accepted: &[Accepted],
    jobs: &mut PgConnection,
) -> BTreeMap<String, Due> {
    let leases = leases(jobs).await;
    let mut prices = HashMap::new();
    let mut dues = BTreeMap::new();
    for Accepted { caller, id } in accepted {
        let client = &mesh.clients[*caller];
        // One that is unknown is lost, which was seen before.
        let Some(job) = client.job(id).await else {
            continue;
        };
        let frames = job["outputs"]["frames"].as_u64();
        let delivered = match frames.filter(|_| job["status"] == "completed") {
            None => None,
            Some(frames) => {
                let lease = leases.get(id).copied().unwrap_or_default();
                Some((lease, price(&mut prices, client, frames).await))
            }
        };
        let caller = *caller;
        dues.insert(id.clone(), Due { caller, delivered });
    }
    dues
}

/// The price of a clip; each is asked for once.
async fn price(prices: &mut HashMap<u64, i64>, client: &Client, frames: u64) -> i64 {
    if let Some(price) = prices.get(&frames) {
        return *price;
    }
    let price = client.price(frames).await.unwrap();
    prices.insert(frames, price);
    price
}

/// Under which lease jobs were completed.
async fn leases(jobs: &mut PgConnection) -> HashMap<String, i64> {
    let query = "SELECT job_id::text AS job, lease FROM attempt WHERE outcome = 'COMPLETED'";
    let rows = sqlx::query(query).fetch_all(jobs).await.unwrap();
    let leases = rows.iter().map(|row| (row.get("job"), row.get("lease")));
    leases.collect()
}

async fn holds(books: &mut PgConnection) -> BTreeMap<String, Hold> {
    let rows = sqlx::query(HOLDS).fetch_all(books).await.unwrap();
    let holds = rows.iter().map(|row| {
        let state = match row.get::<i16, _>("state") {
            1 => State::Open,
            2 => State::Captured,
            3 => State::Released,
            _ => State::Lapsed,
        };
        let hold = Hold {
            state,
            captured: row.get("captured"),
            lease: row.get("lease"),
            transfers: Transfers {
                holds: row.get("holds"),
                captures: row.get("captures"),
                releases: row.get("releases"),
            },
        };
        (row.get("job"), hold)
    });
    holds.collect()
}

/// Holds that are not as the jobs have to have paid. Those of submissions that came to nothing have to be released.
fn differences(dues: &BTreeMap<String, Due>, holds: &BTreeMap<String, Hold>) -> Vec<String> {
    let nothing = Due {
        caller: 0,
        delivered: None,
    };
    let without_hold = dues.keys().filter(|job| !holds.contains_key(*job));
    let mut wrong: Vec<String> = without_hold
        .map(|job| format!("{job} never held anything"))
        .collect();
    for (job, found) in holds {
        let due = dues.get(job);
        let expected = due.unwrap_or(&nothing).hold();
        if *found != expected {
            let of = if due.is_some() { "job" } else { "no job" };
            wrong.push(format!("{of} {job}: {found:?}, not {expected:?}"));
        }
    }
    wrong
}

/// Whether what was taken, by the entries and by what callers have left, is the price of what was delivered.
async fn judge_balances(
    verdict: &mut Verdict,
    mesh: &ChaosMesh,
    dues: &BTreeMap<String, Due>,
    paid: i64,
) {
    let wrong = &mut verdict.miscounted;
    let delivered: i64 = dues.values().map(Due::price).sum();
    if paid != delivered {
        wrong.push(format!("{paid} credits were paid for {delivered}"));
    }
    for (caller, client) in mesh.clients.iter().enumerate() {
        let own = dues.values().filter(|due| due.caller == caller);
        let spent: i64 = own.map(Due::price).sum();
        let left = client.available_credits().await;
        if left != Some(ALLOWANCE - spent) {
            wrong.push(format!("caller {caller} spent {spent} and has {left:?}"));
        }
    }
}

async fn judge_ledger(verdict: &mut Verdict, mesh: &ChaosMesh) {
    let (problems, sum) = mesh.operator.check_ledger().await.unwrap();
    verdict.settled.problems = problems.len();
    verdict.miscounted.extend(problems);
    if sum != 0 {
        let problem = format!("all entries sum to {sum}");
        verdict.miscounted.push(problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVERED: Due = Due {
        caller: 0,
        delivered: Some((3, 7)),
    };

    const CANCELLED: Due = Due {
        caller: 0,
        delivered: None,
    };

    fn found(due: Due, hold: Hold) -> Vec<String> {
        let job = "a".to_owned();
        let dues = BTreeMap::from([(job.clone(), due)]);
        differences(&dues, &BTreeMap::from([(job, hold)]))
    }

    #[test]
    fn holds_that_were_settled_as_they_should_be_are_not_named() {
        for due in [DELIVERED, CANCELLED] {
            let hold = due.hold();
            assert_eq!(found(due, hold), [""; 0]);
        }
        let without_job = BTreeMap::from([("b".to_owned(), CANCELLED.hold())]);
        assert_eq!(differences(&BTreeMap::new(), &without_job), [""; 0]);
    }

    #[test]
    fn holds_that_were_not_settled_or_otherwise_are_named() {
        let twice = Transfers {
            holds: 1,
            captures: 1,
            releases: 1,
        };
        let paid = DELIVERED.hold();
        for wrong in [
            CANCELLED.hold(),
            Hold {
                state: State::Open,
                ..paid
            },
            Hold {
                captured: 8,
                ..paid
            },
            Hold {
                lease: Some(2),
                ..paid
            },
            Hold {
                transfers: twice,
                ..paid
            },
        ] {
            assert_eq!(found(DELIVERED, wrong).len(), 1, "{wrong:?}");
        }
        assert_eq!(found(CANCELLED, paid).len(), 1);
        let without_job = BTreeMap::from([("b".to_owned(), paid)]);
        assert_eq!(differences(&BTreeMap::new(), &without_job).len(), 1);
        let dues = BTreeMap::from([("a".to_owned(), DELIVERED)]);
        assert_eq!(differences(&dues, &BTreeMap::new()).len(), 1);
    }
}
