//! The proof of the ledger: all that must hold, computed from the entries.
//!
//! The entries are the truth. Replayed from the first to the last they give every balance that is kept beside them, and every
//! hold says of itself what its transfers say of it.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult, Statement};

use crate::error::Error;

/// Of each kind so many problems are named; one is enough to look.
const NAMED: u64 = 20;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What does not hold, as sentences. Empty when all holds.
    pub problems: Vec<String>,
    /// How many transfers there are.
    pub transfers: u64,
    /// Over all entries.
    pub sum: i64,
    /// How many holds are open.
    pub open_holds: u64,
    /// In open holds.
    pub held: i64,
}

/// Something that must hold: a query that finds what breaks it, by name.
struct Rule {
    /// What is wrong with what is found.
    problem: &'static str,
    /// `{grant}` and `{job}` stand for the ids in text form.
    sql: &'static str,
}

const RULES: [Rule; 15] = [
    Rule {
        problem: "the transfer does not sum to zero",
        sql: "SELECT t.\"key\" AS name FROM transfers t LEFT JOIN entries e ON e.transfer_id = t.id \
              GROUP BY t.id, t.\"key\" HAVING COUNT(e.line) = 0 OR SUM(e.amount) <> 0",
    },
    Rule {
        problem: "an entry of the account is of no transfer",
        sql: "SELECT e.account AS name FROM entries e LEFT JOIN transfers t ON t.id = e.transfer_id \
              WHERE t.id IS NULL",
    },
    Rule {
        problem: "what is left of the grant is not the sum of its entries",
        sql: "SELECT {grant} AS name FROM grants g LEFT JOIN \
              (SELECT account, SUM(amount) AS total FROM entries GROUP BY account) s \
              ON s.account = 'grant:' || {grant} WHERE g.available <> COALESCE(s.total, 0)",
    },
    Rule {
        problem: "the account is of no grant",
        sql: "SELECT account AS name FROM entries WHERE account LIKE 'grant:%' \
              EXCEPT SELECT 'grant:' || {grant} FROM grants g",
    },
    Rule {
        problem: "the grant is overdrawn",
        sql: "SELECT {grant} AS name FROM grants g WHERE g.available < 0",
    },
    Rule {
        problem: "what the payer has set aside is not the sum of its entries",
        sql: "SELECT p.payer AS name FROM payers p LEFT JOIN \
              (SELECT account, SUM(amount) AS total FROM entries GROUP BY account) s \
              ON s.account = 'held:' || p.payer WHERE p.held <> COALESCE(s.total, 0)",
    },
    Rule {
        problem: "what the payer owes is not the sum of its entries",
        sql: "SELECT p.payer AS name FROM payers p LEFT JOIN \
              (SELECT account, SUM(amount) AS total FROM entries GROUP BY account) s \
              ON s.account = 'debt:' || p.payer WHERE p.debt <> -COALESCE(s.total, 0) OR p.debt < 0",
    },
    Rule {
        problem: "the account is of no payer",
        sql: "SELECT account AS name FROM entries WHERE account LIKE 'held:%' OR account LIKE 'debt:%' \
              EXCEPT SELECT 'held:' || payer FROM payers EXCEPT SELECT 'debt:' || payer FROM payers",
    },
    Rule {
        problem: "what the payer has set aside is not what the open holds say",
        sql: "SELECT p.payer AS name FROM payers p LEFT JOIN \
              (SELECT payer, SUM(credits) AS total FROM holds WHERE state = 1 GROUP BY payer) s \
              ON s.payer = p.payer WHERE p.held <> COALESCE(s.total, 0)",
    },
    Rule {
        problem: "the hold is not the sum of its parts",
        sql: "SELECT {job} AS name FROM holds h LEFT JOIN \
              (SELECT job_id, SUM(credits) AS total FROM hold_parts GROUP BY job_id) s \
              ON s.job_id = h.job_id WHERE h.credits <> COALESCE(s.total, 0)",
    },
    Rule {
        problem: "more was captured than held, more came back than was captured, or the state does not fit",
        sql: "SELECT {job} AS name FROM holds h WHERE h.captured > h.credits OR h.refunded > h.captured \
              OR (h.state = 2 AND h.captured <= 0) OR (h.state <> 2 AND h.captured <> 0) \
              OR (h.state = 1) <> (h.settle_time IS NULL)",
    },
    Rule {
        problem: "what is set aside for the job is not what its transfers say",
        sql: "SELECT {job} AS name FROM holds h LEFT JOIN \
              (SELECT t.job_id, SUM(e.amount) AS total FROM entries e JOIN transfers t ON t.id = e.transfer_id \
              WHERE e.account LIKE 'held:%' GROUP BY t.job_id) s ON s.job_id = h.job_id \
              WHERE COALESCE(s.total, 0) <> CASE WHEN h.state = 1 THEN h.credits ELSE 0 END",
    },
    Rule {
        problem: "what was paid for the job is not what its transfers say",
        sql: "SELECT {job} AS name FROM holds h LEFT JOIN \
              (SELECT t.job_id, SUM(e.amount) AS total FROM entries e JOIN transfers t ON t.id = e.transfer_id \
              WHERE e.account = 'system:revenue' GROUP BY t.job_id) s ON s.job_id = h.job_id \
              WHERE COALESCE(s.total, 0) <> h.captured - h.refunded",
    },
    Rule {
        problem: "what the payer spent in a window is not kept, or wrong",
        sql: "SELECT s.payer AS name FROM (SELECT payer, window_start, \
              SUM(CASE state WHEN 1 THEN credits WHEN 2 THEN captured - refunded ELSE 0 END) AS total \
              FROM holds GROUP BY payer, window_start) s LEFT JOIN window_spend w \
              ON w.payer = s.payer AND w.window_start = s.window_start \
              WHERE COALESCE(w.spent, 0) <> s.total",
    },
    Rule {
        problem: "the payer spent in a window without a hold",
        sql: "SELECT w.payer AS name FROM window_spend w WHERE w.spent <> 0 AND NOT EXISTS \
              (SELECT 1 FROM holds h WHERE h.payer = w.payer AND h.window_start = w.window_start)",
    },
];

#[derive(FromQueryResult)]
struct Named {
    name: String,
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
    total: i64,
}

/// Computes all that must hold. All of it is of the moment of the snapshot `tx`.
///
/// # Errors
/// [`Error::Database`].
pub async fn check(tx: &DatabaseTransaction) -> Result<Findings, Error> {
    let entries = "SELECT COUNT(*) AS count, CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS total \
                   FROM entries";
    let transfers = "SELECT COUNT(*) AS count, CAST(0 AS BIGINT) AS total FROM transfers";
    let open = "SELECT COUNT(*) AS count, CAST(COALESCE(SUM(credits), 0) AS BIGINT) AS total \
                FROM holds WHERE state = 1";
    let (entries, transfers) = (count(tx, entries).await?, count(tx, transfers).await?);
    let open = count(tx, open).await?;
    let mut findings = Findings {
        problems: Vec::new(),
        transfers: u64::try_from(transfers.count).unwrap_or_default(),
        sum: entries.total,
        open_holds: u64::try_from(open.count).unwrap_or_default(),
        held: open.total,
    };
    if findings.sum != 0 {
        let problem = format!("all entries together sum to {}, not to zero", findings.sum);
        findings.problems.push(problem);
    }
    for rule in &RULES {
        for name in broken(tx, rule).await? {
            findings.problems.push(format!("{name}: {}", rule.problem));
        }
    }
    Ok(findings)
}

async fn count(tx: &DatabaseTransaction, sql: &str) -> Result<Count, Error> {
    let statement = Statement::from_string(tx.get_database_backend(), sql);
    let row = Count::find_by_statement(statement).one(tx).await?;
    row.ok_or_else(|| Error::Broken("a count has no row".to_owned()))
}

async fn broken(tx: &DatabaseTransaction, rule: &Rule) -> Result<Vec<String>, Error> {
    let backend = tx.get_database_backend();
    let sql = rule
        .sql
        .replace("{grant}", &text_of_id(backend, "g.id"))
        .replace("{job}", &text_of_id(backend, "h.job_id"));
    let statement = Statement::from_string(backend, format!("{sql} LIMIT {NAMED}"));
    let rows = Named::find_by_statement(statement).all(tx).await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// An id as accounts are named by it. SQLite keeps ids as 16 bytes.
fn text_of_id(backend: DbBackend, column: &str) -> String {
    if backend == DbBackend::Postgres {
        return format!("CAST({column} AS TEXT)");
    }
    let part = |first: u8, length: u8| format!("substr(hex({column}), {first}, {length})");
    let parts = [
        part(1, 8),
        part(9, 4),
        part(13, 4),
        part(17, 4),
        part(21, 12),
    ];
    format!("lower({})", parts.join(" || '-' || "))
}
