//! How the processes of a mesh are started.

use std::path::{Path, PathBuf};

use kinora_testkit::net::free_port;

use super::entrance::Entrance;
use super::member::{CommandLine, Member};
use super::mesh::MeshOptions;
use crate::{accounts, billing, text};

pub(super) const STORE_KEY: &str = "test-access";
pub(super) const STORE_SECRET: &str = "test-secret";

/// Where services listen that there is one of, on the loopback.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) accounts: u16,
    pub(super) billing: u16,
    pub(super) edge: u16,
    pub(super) store: u16,
}

impl Ports {
    pub(super) fn free() -> Self {
        Self {
            accounts: free_port(),
            billing: free_port(),
            edge: free_port(),
            store: free_port(),
        }
    }
}

/// What processes need to know of each other.
pub(super) struct Starting<'a> {
    pub(super) root: &'a Path,
    pub(super) options: &'a MeshOptions,
    pub(super) ports: Ports,
}

impl Starting<'_> {
    pub(super) fn store(&self) -> Member {
        let below = self.root.join("objects");
        let objects = self.options.objects.as_ref().unwrap_or(&below);
        let listen = format!("127.0.0.1:{}", self.ports.store);
        let command = CommandLine {
            program: "kinora-chaos",
            folder: self.root.join("store"),
            arguments: words(&["store", "--listen", &listen, "--root", text(objects)]),
            environment: vec![
                ("KINORA_S3_ACCESS_KEY", STORE_KEY.to_owned()),
                ("KINORA_S3_SECRET_KEY", STORE_SECRET.to_owned()),
            ],
        };
        Member::start("store".to_owned(), command)
    }

    /// `operator_key` becomes an API key of the operator.
    pub(super) fn accounts(&self, operator_key: &str) -> Member {
        let arguments = accounts::arguments(self.root, self.ports.accounts);
        let mut command = self.command("accounts", "accounts", "kinora-accounts", arguments);
        let environment = accounts::environment(Some(operator_key));
        command.environment.extend(environment);
        Member::start("accounts".to_owned(), command)
    }

    pub(super) fn billing(&self, database: &str) -> Member {
        let own = self.root.join("billing");
        let port = self.ports.billing;
        let arguments = billing::arguments(&own, database, port, &url(self.ports.accounts));
        let mut command = self.command("billing", "billing", "kinora-billing", arguments);
        command.environment.extend(billing::environment());
        Member::start("billing".to_owned(), command)
    }

    pub(super) fn scheduler(&self, index: usize, port: u16, database: &str) -> Member {
        let name = format!("s{index}");
        let options = self.options;
        let is_stepped = options.has_stepped_clock && index + 1 == options.schedulers;
        let late_sweep = format!("{}ms", options.late_sweep.as_millis());
        let (ttl, heartbeat) = (options.worker_ttl, options.worker_ttl / 5);
        let (ttl, heartbeat) = (ttl.as_millis(), heartbeat.as_millis());
        let mut arguments = Vec::new();
        if is_stepped {
            let clock = clock_file(self.root);
            arguments.extend(words(&["scheduler", "--clock-offset", text(&clock)]));
        }
        arguments.extend(words(&["--listen", &format!("127.0.0.1:{port}")]));
        arguments.extend(words(&["--scheduler-database", database]));
        arguments.extend(words(&["--worker-ttl", &format!("{ttl}ms")]));
        arguments.extend(words(&["--heartbeat-interval", &format!("{heartbeat}ms")]));
        arguments.extend(words(&["--late-sweep-delay", &late_sweep]));
        arguments.extend(words(&["--accounts-endpoint", &url(self.ports.accounts)]));
        arguments.extend(words(&["--billing-endpoint", &url(self.ports.billing)]));
        // Billing is given up sooner than the edge gives up a call, so that callers hear why.
        let brisk = "--reap-interval 250ms --poll-interval 250ms --sweep-interval 250ms \
                     --retry-delay 100ms --max-attempts 1000 --time-limit 60s --max-active 0 \
                     --billing-timeout 2s --settle-interval 250ms --hold-sweep-interval 5s";
        arguments.extend(brisk.split_whitespace().map(str::to_owned));
        arguments.extend(options.scheduler_arguments.iter().cloned());
        let program = if is_stepped {
            "kinora-chaos"
        } else {
            "kinora-scheduler"
        };
        self.member(name, "scheduler", program, arguments)
    }

    pub(super) fn edge(&self, entrance: &Entrance) -> Member {
        let arguments = words(&[
            "--listen",
            &format!("127.0.0.1:{}", self.ports.edge),
            "--scheduler-endpoint",
            &entrance.url(),
            "--accounts-endpoint",
            &url(self.ports.accounts),
            "--billing-endpoint",
            &url(self.ports.billing),
            "--call-timeout",
            "4s",
            // Everybody there is one caller.
            "--caller-limit",
            "off",
        ]);
        self.member("edge".to_owned(), "edge", "kinora-edge", arguments)
    }

    pub(super) fn worker(&self, name: &str, entrance: &Entrance) -> Member {
        let scratch = self.root.join("scratch");
        let steps = steps_folder(self.root);
        let step_time = format!("{}ms", self.options.step_time.as_millis());
        let arguments = words(&[
            "--scheduler-endpoint",
            &entrance.url(),
            "--worker-id",
            name,
            // Never opened: what this worker runs needs no files.
            "--model",
            "/nowhere",
            "--scratch",
            text(&scratch),
            "--steps-log",
            text(&steps),
            "--step-time",
            &step_time,
            "--checkpoint-interval",
            "60ms",
            "--preview-interval",
            "0s",
        ]);
        self.member(name.to_owned(), "worker", "kinora-chaos-worker", arguments)
    }

    fn member(
        &self,
        name: String,
        service: &str,
        program: &'static str,
        arguments: Vec<String>,
    ) -> Member {
        let mut command = self.command(&name, service, program, arguments);
        let endpoint = format!("http://127.0.0.1:{}", self.ports.store);
        command.environment.extend([
            ("KINORA_S3_ENDPOINT", endpoint),
            ("KINORA_S3_ACCESS_KEY", STORE_KEY.to_owned()),
            ("KINORA_S3_SECRET_KEY", STORE_SECRET.to_owned()),
        ]);
        Member::start(name, command)
    }

    /// With a certificate of its own as `service`.
    fn command(
        &self,
        name: &str,
        service: &str,
        program: &'static str,
        arguments: Vec<String>,
    ) -> CommandLine {
        let folder = self.root.join(name);
        let identity = folder.join("identity");
        kinora_testkit::identity::issue(service, &identity);
        CommandLine {
            program,
            folder,
            arguments,
            environment: vec![("KINORA_IDENTITY_DIR", text(&identity).to_owned())],
        }
    }
}

pub(super) fn clock_file(root: &Path) -> PathBuf {
    root.join("clock-offset")
}

pub(super) fn steps_folder(root: &Path) -> PathBuf {
    root.join("steps")
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
