//! Query parameters, read strictly: an unknown or repeated one is a mistake worth telling.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::{StatusCode, Uri};

use crate::problem::Problem;

/// The parameters of one request.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads the parameters of `uri`, which may be any of `known`.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "QUERY_INVALID",
                "the query cannot be read",
            )
        })?;
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if !known.contains(&name.as_str()) {
                return Err(Problem::invalid(&shown(&name), unknown(known)));
            }
            if parameters.insert(name.clone(), value).is_some() {
                return Err(Problem::invalid(&name, "must stand once"));
            }
        }
        Ok(Self(parameters))
    }

    /// A parameter as text; empty when absent.
    pub(super) fn text(&mut self, name: &str) -> String {
        self.0.remove(name).unwrap_or_default()
    }

    /// A parameter as a list, separated by commas; each entry is one of `choices`.
    pub(super) fn choices<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Vec<T>, Problem> {
        let Some(text) = self.0.remove(name) else {
            return Ok(Vec::new());
        };
        let find = |word: &str| choices.iter().find(|(choice, _)| *choice == word);
        let found: Option<Vec<T>> = text.split(',').map(|w| find(w).map(|(_, v)| *v)).collect();
        let found = found.filter(|found| found.len() <= choices.len());
        found.ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            let detail = format!(
                "must be one or several of {}, separated by commas",
                names.join(", ")
            );
            Problem::invalid(name, detail)
        })
    }

    /// The size of a page; 0 leaves it to the scheduler.
    pub(super) fn page_size(&self) -> Result<i32, Problem> {
        match self.number::<i32>("page_size")?.unwrap_or(0) {
            size if size < 0 => Err(Problem::invalid("page_size", "must be 0 or more")),
            size => Ok(size),
        }
    }

    /// A parameter as a number of type `T`.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        let number = text
            .parse()
            .map_err(|_| Problem::invalid(name, "must be a whole number, 0 or more"))?;
        Ok(Some(number))
    }
}

fn unknown(known: &[&str]) -> String {
    if known.is_empty() {
        return "is not a parameter; this path takes none".to_owned();
    }
    format!(
        "is not a parameter; the parameters are {}",
        known.join(", ")
    )
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Result<Parameters, Problem> {
        Parameters::of(
            &format!("/x?{query}").parse().unwrap(),
            &["page_size", "page_token"],
        )
    }

    #[test]
    fn known_parameters_are_read() {
        let mut read = parameters("page_size=5&page_token=a%2Bb").unwrap();
        assert_eq!(read.number::<i32>("page_size").unwrap(), Some(5));
        assert_eq!(read.text("page_token"), "a+b");
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        assert!(parameters("pagesize=5").is_err());
        assert!(parameters("page_size=5&page_size=6").is_err());
        assert!(parameters("").is_ok());
    }

    #[test]
    fn lists_have_known_entries_once_or_so() {
        let read = |query: &str| {
            let uri = format!("/x?{query}").parse().unwrap();
            let mut parameters = Parameters::of(&uri, &["state"]).unwrap();
            parameters.choices("state", &[("a", 1), ("b", 2)])
        };
        assert_eq!(read("").unwrap(), Vec::<i32>::new());
        assert_eq!(read("state=b,a").unwrap(), [2, 1]);
        for odd in ["state=", "state=c", "state=a,", "state=a,b,a", "state=A"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn numbers_are_whole() {
        for text in ["x", "1.5", "NaN", "", "9999999999"] {
            assert!(
                parameters(&format!("page_size={text}"))
                    .unwrap()
                    .number::<i32>("page_size")
                    .is_err()
            );
        }
    }
}
