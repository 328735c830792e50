//! The proof of payments: what must hold between receipts, disputes, the ledger and the mirror of Stripe's movements.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, FromQueryResult, Statement};

use crate::error::Error;

/// Of each kind so many problems are named; one is enough to look.
const NAMED: u64 = 20;

/// Something that must hold: a query that finds what breaks it, by name.
struct Rule {
    /// What is wrong with what is found.
    problem: &'static str,
    /// `{position}` stands for the function that finds a text in another.
    sql: &'static str,
}

/// Keys of transfers are `purchase:<receipt>`, `reverse:<receipt>:<turn>` and `restore:<receipt>:<turn>`; no receipt's id has a
/// colon in it.
const RULES: [Rule; 4] = [
    Rule {
        problem: "the credits of the receipt are not what its grant was given",
        sql: "SELECT r.id AS name FROM receipts r LEFT JOIN \
              (SELECT t.\"key\" AS name, SUM(e.amount) AS total FROM transfers t \
              JOIN entries e ON e.transfer_id = t.id \
              WHERE e.account = 'system:clearing' AND t.\"key\" LIKE 'purchase:%' GROUP BY t.\"key\") s \
              ON s.name = 'purchase:' || r.id WHERE r.credits <> -COALESCE(s.total, 0)",
    },
    Rule {
        problem: "the credits taken back for the receipt are not what its transfers took",
        sql: "SELECT r.id AS name FROM receipts r LEFT JOIN \
              (SELECT substr(t.\"key\", 9, {position}(substr(t.\"key\", 9), ':') - 1) AS name, \
              SUM(e.amount) AS total FROM transfers t JOIN entries e ON e.transfer_id = t.id \
              WHERE e.account = 'system:clearing' AND (t.\"key\" LIKE 'reverse:%' OR t.\"key\" LIKE 'restore:%') \
              GROUP BY 1) s ON s.name = r.id WHERE r.taken <> COALESCE(s.total, 0)",
    },
    Rule {
        problem: "what of the receipt is disputed is not what its disputes say",
        sql: "SELECT r.id AS name FROM receipts r LEFT JOIN \
              (SELECT receipt, SUM(amount) AS total FROM disputes WHERE state IN (2, 4) GROUP BY receipt) s \
              ON s.receipt = r.id WHERE r.disputed <> COALESCE(s.total, 0)",
    },
    Rule {
        problem: "money moved for the receipt, which is not there",
        sql: "SELECT m.receipt AS name FROM stripe_movements m LEFT JOIN receipts r ON r.id = m.receipt \
              WHERE m.receipt IS NOT NULL AND r.id IS NULL GROUP BY m.receipt HAVING SUM(m.amount) <> 0",
    },
];

#[derive(FromQueryResult)]
struct Named {
    name: String,
}

/// Names what does not hold. All of it is of the moment of the snapshot `tx`.
///
/// # Errors
/// [`Error::Database`].
pub async fn check(tx: &DatabaseTransaction) -> Result<Vec<String>, Error> {
    let mut problems = Vec::new();
    for rule in &RULES {
        for name in broken(tx, rule).await? {
            problems.push(format!("{name}: {}", rule.problem));
        }
    }
    Ok(problems)
}

async fn broken(tx: &DatabaseTransaction, rule: &Rule) -> Result<Vec<String>, Error> {
    let backend = tx.get_database_backend();
    let position = match backend {
        DbBackend::Postgres => "strpos",
        _ => "instr",
    };
    let sql = rule.sql.replace("{position}", position);
    let statement = Statement::from_string(backend, format!("{sql} LIMIT {NAMED}"));
    let rows = Named::find_by_statement(statement).all(tx).await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}
