//! A policy as an operator writes it.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{OperatorTerms, Policy, PolicyError, Problem, Row};
use crate::assessment::Verdict;
use crate::category::Category;
use crate::classifier::Thresholds;
use crate::normalize::folded_term;
use crate::rules::{Certainty, built_in};

/// How many terms or phrases a list has at most.
const MAX_ENTRIES: usize = 10_000;

/// How long a term or phrase is at most, in bytes.
const MAX_ENTRY_BYTES: usize = 200;

/// From how many letters on a term of the operator's is not found in about every text.
const MIN_TERM_LETTERS: usize = 2;

/// The rows of the defaults.
pub(super) fn rows(defaults: &str) -> Result<BTreeMap<Category, Row>, PolicyError> {
    let mut reader = Reader::default();
    let table = reader.table_of(defaults);
    let mut rows = BTreeMap::new();
    for category in Category::ALL {
        let before = Row {
            general: Verdict::Refuse,
            verified_adult: Verdict::Refuse,
            thresholds: Thresholds {
                review: 1.0,
                refuse: 1.0,
            },
            has_own_thresholds: false,
        };
        let row = table.get("category").and_then(|all| all.get(category.id()));
        let Some(Value::Table(row)) = row else {
            reader.problem("defaults", &format!("nothing about {}", category.id()));
            continue;
        };
        let row = reader.row(category, row, before);
        rows.insert(
            category,
            Row {
                has_own_thresholds: false,
                ..row
            },
        );
    }
    reader.done().map(|()| rows)
}

/// Changes a policy by an operator's file.
pub(super) fn apply(policy: &mut Policy, text: &str) -> Result<(), PolicyError> {
    let mut reader = Reader::default();
    let table = reader.table_of(text);
    for (field, value) in &table {
        match (field.as_str(), value) {
            ("adult_content", Value::Boolean(adult_content)) => {
                policy.adult_content = *adult_content
            }
            ("category", Value::Table(categories)) => reader.categories(policy, categories),
            ("disabled_rules", Value::Array(ids)) => reader.disabled_rules(policy, ids),
            ("allowed", Value::Array(_)) => policy.allowed = reader.texts("allowed", value),
            ("lexicon", Value::Array(entries)) => reader.lexicon(policy, entries),
            ("adult_content", _) => reader.problem(field, "must be true or false"),
            ("category", _) => reader.problem(field, "must be tables, such as [category.hate]"),
            ("disabled_rules" | "allowed", _) => reader.problem(field, "must be a list of texts"),
            ("lexicon", _) => reader.problem(field, "must be tables, such as [[lexicon]]"),
            _ => reader.problem(field, "is not known"),
        }
    }
    reader.done()
}

#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn problem(&mut self, field: &str, message: &str) {
        self.problems.push(Problem::of(field, message));
    }

    fn done(self) -> Result<(), PolicyError> {
        match self.problems.is_empty() {
            true => Ok(()),
            false => Err(PolicyError {
                problems: self.problems,
            }),
        }
    }

    fn table_of(&mut self, text: &str) -> Table {
        text.parse().unwrap_or_else(|error: toml::de::Error| {
            self.problem("policy", error.message());
            Table::new()
        })
    }

    fn categories(&mut self, policy: &mut Policy, categories: &Table) {
        for (id, value) in categories {
            let field = format!("category.{id}");
            match (Category::from_id(id), value) {
                (None, _) => self.problem(&field, "is not a category"),
                (Some(_), value) if !value.is_table() => self.problem(&field, "must be a table"),
                (Some(category), value) => {
                    let row = policy.rows.get(&category).copied();
                    let (Some(row), Some(table)) = (row, value.as_table()) else {
                        continue;
                    };
                    let row = self.row(category, table, row);
                    policy.rows.insert(category, row);
                }
            }
        }
    }

    /// A row with what a table changes of it.
    fn row(&mut self, category: Category, table: &Table, before: Row) -> Row {
        let mut row = before;
        for (key, value) in table {
            let field = format!("category.{}.{key}", category.id());
            match key.as_str() {
                "general" => self.verdict(&field, category, value, &mut row.general),
                "verified_adult" => self.verdict(&field, category, value, &mut row.verified_adult),
                "review_at" => self.threshold(&field, category, value, &mut row.thresholds.review),
                "refuse_at" => self.threshold(&field, category, value, &mut row.thresholds.refuse),
                _ => self.problem(&field, "is not known"),
            }
        }
        row.has_own_thresholds |= row.thresholds != before.thresholds;
        if row.thresholds.review > row.thresholds.refuse {
            let field = format!("category.{}.review_at", category.id());
            self.problem(&field, "must not be above refuse_at");
        }
        row
    }

    fn verdict(&mut self, field: &str, category: Category, value: &Value, to: &mut Verdict) {
        let verdict = match value.as_str() {
            Some("allow") => Verdict::Allow,
            Some("review") => Verdict::Review,
            Some("refuse") => Verdict::Refuse,
            _ => return self.problem(field, "must be allow, review or refuse"),
        };
        if category.is_always_refused() && verdict != Verdict::Refuse {
            return self.problem(field, "this category is refused in every configuration");
        }
        *to = verdict;
    }

    fn threshold(&mut self, field: &str, category: Category, value: &Value, to: &mut f32) {
        let score = match value {
            Value::Float(score) => *score,
            Value::Integer(0) => 0.0,
            Value::Integer(1) => 1.0,
            _ => return self.problem(field, "must be a number from 0 to 1"),
        };
        if !(0.0..=1.0).contains(&score) {
            return self.problem(field, "must be a number from 0 to 1");
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a score from 0 to 1, of which single precision keeps enough"
        )]
        let score = score as f32;
        if category.is_always_refused() && score > *to {
            return self.problem(
                field,
                "this category is refused in every configuration: it may only be lower",
            );
        }
        *to = score;
    }

    fn disabled_rules(&mut self, policy: &mut Policy, ids: &[Value]) {
        let rules = match built_in() {
            Ok(rules) => rules,
            Err(error) => return self.problems.extend(error.problems),
        };
        for (at, id) in ids.iter().enumerate() {
            let field = format!("disabled_rules[{at}]");
            let Some(rule) = rules
                .iter()
                .find(|rule| Some(rule.id.as_str()) == id.as_str())
            else {
                self.problem(&field, "is not the id of a rule");
                continue;
            };
            if rule.category.is_always_refused() {
                self.problem(&field, "this rule holds in every configuration");
                continue;
            }
            policy.disabled_rules.insert(rule.id.clone());
        }
    }

    fn lexicon(&mut self, policy: &mut Policy, entries: &[Value]) {
        for (at, entry) in entries.iter().enumerate() {
            let field = format!("lexicon[{at}]");
            let Some(entry) = entry.as_table() else {
                self.problem(&field, "must be a table");
                continue;
            };
            for key in entry.keys() {
                if !["category", "terms", "certainty"].contains(&key.as_str()) {
                    self.problem(&format!("{field}.{key}"), "is not known");
                }
            }
            let category = entry
                .get("category")
                .and_then(Value::as_str)
                .and_then(Category::from_id);
            let Some(category) = category else {
                self.problem(&format!("{field}.category"), "must be a category");
                continue;
            };
            let certainty = self.certainty(&field, entry.get("certainty"));
            let terms = entry
                .get("terms")
                .cloned()
                .unwrap_or(Value::Array(Vec::new()));
            let terms = self.texts(&format!("{field}.terms"), &terms);
            policy.terms.push(OperatorTerms {
                category,
                terms,
                certainty,
            });
        }
    }

    fn certainty(&mut self, field: &str, value: Option<&Value>) -> Certainty {
        match value.map(Value::as_str) {
            None | Some(Some("clear")) => Certainty::Clear,
            Some(Some("unsure")) => Certainty::Unsure,
            Some(_) => {
                self.problem(&format!("{field}.certainty"), "must be clear or unsure");
                Certainty::Clear
            }
        }
    }

    /// Terms or phrases, each with letters in it.
    fn texts(&mut self, field: &str, value: &Value) -> Vec<String> {
        let Some(values) = value
            .as_array()
            .filter(|values| !values.is_empty() && values.len() <= MAX_ENTRIES)
        else {
            self.problem(
                field,
                &format!("must be a list of 1 to {MAX_ENTRIES} texts"),
            );
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let text = value.as_str().filter(|text| text.len() <= MAX_ENTRY_BYTES);
            match text.filter(|text| folded_term(text).chars().count() >= MIN_TERM_LETTERS) {
                Some(text) => texts.push(text.to_owned()),
                None => self.problem(
                    &format!("{field}[{at}]"),
                    &format!(
                        "must be a text of {MIN_TERM_LETTERS} letters to {MAX_ENTRY_BYTES} bytes"
                    ),
                ),
            }
        }
        texts
    }
}
