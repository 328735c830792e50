//! `kinora identity`.

use kinora_mesh::identity::authority::Authority;
use kinora_mesh::workload::Workload;

use crate::arguments::{IdentityArguments, IdentityCommand, IssueArguments};
use crate::exit::Failure;
use crate::output;

/// Does what was asked.
///
/// # Errors
///
/// [`Failure`] when a name is not valid, or a folder cannot be used.
pub fn run(arguments: IdentityArguments) -> Result<(), Failure> {
    match arguments.command {
        IdentityCommand::Issue(issue) => run_issue(&issue),
    }
}

fn run_issue(arguments: &IssueArguments) -> Result<(), Failure> {
    let workload = workload(arguments)?;
    let authority = Authority::open(&arguments.authority).map_err(anyhow::Error::from)?;
    let issued = authority.issue(&workload, &arguments.out);
    issued.map_err(anyhow::Error::from)?;
    let folder = arguments.out.display();
    output::result(format!("{workload} is in {folder}"))?;
    Ok(())
}

/// By its text, which says what may be in a name.
fn workload(arguments: &IssueArguments) -> Result<Workload, Failure> {
    let workload = Workload {
        trust_domain: arguments.trust_domain.clone(),
        namespace: arguments.namespace.clone(),
        service: arguments.service.clone(),
    };
    let text = workload.to_string();
    text.parse().map_err(|_| {
        Failure::usage(format!(
            "`{text}` cannot be a name: its parts have 1 to 63 of lower-case letters, digits, `-`, `_` and `.`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use kinora_mesh::identity::Identity;

    use super::*;

    #[tokio::test]
    async fn issued_identities_know_each_other_and_wrong_names_leave_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let arguments = |service: &str| IssueArguments {
            authority: root.path().join("ca"),
            service: service.to_owned(),
            out: root.path().join("out").join(service),
            trust_domain: "mesh.example.org".to_owned(),
            namespace: "video".to_owned(),
        };
        for wrong in ["Worker", "", "a/b"] {
            assert!(run_issue(&arguments(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        for service in ["worker", "scheduler"] {
            run_issue(&arguments(service)).unwrap();
        }
        let identity = |service| Identity::of_folder(&arguments(service).out).unwrap();
        let (worker, scheduler) = (identity("worker"), identity("scheduler"));
        assert!(worker.workload().is_sibling_of(scheduler.workload()));
        let read = |service| std::fs::read(arguments(service).out.join("ca.crt")).unwrap();
        assert_eq!(read("worker"), read("scheduler"));
    }
}
