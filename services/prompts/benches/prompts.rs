//! What a prompt costs: called as the scheduler calls, with and without the sentence model, as a table.
//!
//! `make bench-prompts`; the sentence model is the one that `KINORA_MINILM` names.

#![expect(clippy::print_stdout, reason = "a benchmark that prints a table")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark that fails at once, and is told by its target where the model is"
)]

use std::time::{Duration, Instant};

use kinora_access::testing::TestIssuer;
use kinora_prompts::PromptsOptions;
use kinora_proto::prompts::v1 as pb;
use kinora_proto::prompts::v1::prompt_service_client::PromptServiceClient;
use kinora_testkit::identity::identity;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::transport::Channel;

/// Lines whose first field is the family and whose last is the prompt.
const PROMPTS: &str = include_str!("../../../libs/enhancement/eval/prompts.tsv");

/// How often all prompts are asked for.
const ROUNDS: usize = 5;

#[derive(Clone)]
struct Caller {
    client: PromptServiceClient<Channel>,
    token: String,
}

impl Caller {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    }

    async fn prepare(&self, prompt: &str) {
        let request = self.request(pb::PrepareRequest {
            prompt: prompt.to_owned(),
            family: pb::Family::Wan.into(),
            enhancer: pb::Enhancer::Rules.into(),
            ..Default::default()
        });
        self.client.clone().prepare(request).await.unwrap();
    }

    async fn moderate(&self, prompt: &str) {
        let text = prompt.to_owned();
        let request = self.request(pb::ModerateRequest { text });
        self.client.clone().moderate(request).await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let prompts = prompts();
    println!(
        "{} prompts, each {ROUNDS} times, one call at a time, over gRPC with mutual TLS\n",
        prompts.len()
    );
    println!("| call | classifier | p50 | p95 | p99 | slowest |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for classifier in [None, std::env::var_os("KINORA_MINILM")] {
        let name = if classifier.is_some() {
            "MiniLM"
        } else {
            "none"
        };
        let (caller, stop) = start(classifier.map(Into::into)).await;
        let mut moderating = Vec::new();
        let mut preparing = Vec::new();
        for prompt in prompts.iter().cycle().take(ROUNDS * prompts.len()) {
            moderating.push(timed(caller.moderate(prompt)).await);
            preparing.push(timed(caller.prepare(prompt)).await);
        }
        println!("{}", row("Moderate", name, moderating));
        println!("{}", row("Prepare, rules", name, preparing));
        stop.cancel();
    }
}

/// Those that were written for Wan.
fn prompts() -> Vec<String> {
    let rows = PROMPTS
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let wan = rows.filter(|row| row.first() == Some(&"wan"));
    wan.filter_map(|row| row.last().map(|prompt| (*prompt).to_owned()))
        .collect()
}

async fn start(classifier: Option<std::path::PathBuf>) -> (Caller, CancellationToken) {
    let folder = tempfile::tempdir().unwrap().keep();
    let url = format!("sqlite://{}", folder.join("prompts.db").display());
    let issuer = TestIssuer::new();
    let trust = issuer.serve(identity("accounts")).await;
    let mut options = PromptsOptions::new(url.parse().unwrap());
    options.accounts_endpoint.clone_from(&trust.endpoint);
    // Nothing is to come from memory.
    options.prompting.cached = 0;
    options.prompting.moderation.model = classifier;
    let listener = kinora_testkit::net::loopback_listener().await;
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let serving = kinora_prompts::serve(options, identity("prompts"), listener, stop.clone());
    tokio::spawn(async move {
        serving.await.unwrap();
        drop(trust);
    });
    let channel = kinora_mesh::channel::connect_lazy(&endpoint, &identity("scheduler"), "prompts");
    let caller = Caller {
        client: PromptServiceClient::new(channel.unwrap()),
        token: issuer.token("anna"),
    };
    // The first calls connect, fetch keys and touch every page of the model.
    for _ in 0..20 {
        caller.prepare("a red ball rolls down a green hill").await;
    }
    (caller, stop)
}

async fn timed(call: impl Future<Output = ()>) -> Duration {
    let begin = Instant::now();
    call.await;
    begin.elapsed()
}

fn row(call: &str, classifier: &str, mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() - 1) * percent / 100;
        format!(
            "{:.2} ms",
            times.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
        )
    };
    let cells = [50, 95, 99, 100].map(at).join(" | ");
    format!("| {call} | {classifier} | {cells} |")
}
