//! Writes down who may call each method, for `make methods`.
//!
//! It is what the services go by: the rules of the contracts, and the workloads that each service lets in. Whoever changes
//! either sees in the diff of `docs/security/methods.md` what became of it, and so does whoever reviews that.

use std::collections::BTreeMap;
use std::io::Write;

use kinora_access::rules::{Freshness, Method, methods};
use kinora_access::{Callers, RulesError, Wanted};
use kinora_proto::DESCRIPTORS;

const HEAD: &str = "# Who may call each method

Written by `make methods`; a test fails while it is another. What the caller needs is the option `kinora.access.v1.rule` of each method, which
[access.proto](../../proto/proto/kinora/access/v1/access.proto) explains; which workloads may bring the call is listed in each service's `grpc/access.rs`.

- **caller**: *anybody* needs no token, at the edge neither. *workload* is a service that calls for itself; the edge passes no such call on. Otherwise the scope that
  the token must have.
- **terms**: whether the terms of use that are in force must have been accepted.
- **credential**: of whom one is wanted that was shown in the last ten minutes: of nobody, of people *in sessions* and not of keys, or *always*, so that keys may not call it.
- **first password**: whether those may call it who have one to change.
";

const COLUMNS: &str = "| method | caller | terms | credential | first password | workloads |
| --- | --- | --- | --- | --- | --- |
";

fn main() -> anyhow::Result<()> {
    std::io::stdout().write_all(document()?.as_bytes())?;
    Ok(())
}

fn document() -> Result<String, RulesError> {
    let mut text = HEAD.to_owned();
    let all: [(&str, &[Callers]); 4] = [
        ("accounts", &kinora_accounts::CALLERS),
        ("billing", &kinora_billing::CALLERS),
        ("prompts", &kinora_prompts::CALLERS),
        ("scheduler", &kinora_scheduler::CALLERS),
    ];
    for (service, callers) in all {
        let methods: BTreeMap<String, Method> =
            methods(DESCRIPTORS, callers)?.into_iter().collect();
        text.push_str(&format!("\n## {service}\n\n{COLUMNS}"));
        for (path, method) in &methods {
            text.push_str(&row(path, method));
        }
    }
    Ok(text)
}

fn row(path: &str, method: &Method) -> String {
    let workloads = method.workloads.join(", ");
    let path = path.trim_start_matches('/');
    let wanted = match method.wanted {
        Wanted::Workload => "*workload* | | |".to_owned(),
        Wanted::Anybody => "*anybody* | | |".to_owned(),
        Wanted::User {
            scope,
            needs_terms,
            fresh,
            first_password,
        } => {
            let terms = if needs_terms { " yes" } else { "" };
            let credential = match fresh {
                Freshness::Any => "",
                Freshness::InSessions => " in sessions",
                Freshness::Always => " always",
            };
            let first_password = if first_password { " yes" } else { "" };
            format!("`{scope}` |{terms} |{credential} |{first_password}")
        }
    };
    format!("| `{path}` | {wanted} | {workloads} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_document_is_the_generated_one() {
        let committed = include_str!("../../../docs/security/methods.md");
        let is_same = committed == document().expect("complete rules");
        assert!(
            is_same,
            "docs/security/methods.md is another one: run `make methods`"
        );
    }
}
