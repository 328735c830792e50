//! What signing in, checking a token and calling with an API key cost: `make bench-accounts` prints the tables.
//!
//! Services are processes of their own. Tokens are checked in this process, beside the same work in node's `jose` on the same
//! tokens, in turns.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]
#![expect(clippy::print_stdout, reason = "the tables are the output")]

use std::process::Command;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kinora_access::Authenticator;
use kinora_access::testing::{ISSUER, TestIssuer};
use kinora_integration_tests::{Api, SeparateProcesses, accounts};
use kinora_proto::accounts::v1::SignInRequest;
use kinora_proto::accounts::v1::auth_service_client::AuthServiceClient;
use tonic::transport::Channel;

/// Rounds of each figure; the first warms up and does not count.
const ROUNDS: usize = 11;
const SIGN_INS: usize = 48;
const TOKENS: u32 = 2000;
const CALLS: usize = 1000;
const MIB: u64 = 1 << 20;

/// Checks the token of the environment as often as the first argument says; prints microseconds for each.
const PEER: &str = r"
import { jwtVerify, importJWK } from 'jose';
const { TOKEN: token, JWK: jwk, ISSUER: issuer, AUDIENCE: audience, COUNT: count } = process.env;
const key = await importJWK(JSON.parse(jwk), 'EdDSA');
const options = { issuer, audience, typ: 'at+jwt', algorithms: ['EdDSA'] };
const round = async () => {
  const begun = process.hrtime.bigint();
  for (let i = 0; i < Number(count); i++) await jwtVerify(token, key, options);
  return Number(process.hrtime.bigint() - begun) / 1000 / Number(count);
};
await round();
console.log(await round());
";

#[tokio::main]
async fn main() {
    verification().await;
    let mesh = SeparateProcesses::start().await;
    mesh.wait_serving().await;
    sign_ins(&mesh).await;
    calls(&mesh).await;
}

async fn verification() {
    let issuer = TestIssuer::new();
    let tokens: Vec<String> = (0..TOKENS)
        .map(|at| issuer.token(&format!("somebody-{at}")))
        .collect();
    let (id, key) = issuer.current_key();
    let jwk = serde_json::json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": id,
        "x": URL_SAFE_NO_PAD.encode(key.public_key()),
    });
    let (mut first, mut again, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // One that has seen none of them.
        let authenticator = issuer.authenticator("scheduler");
        let unseen = checked(&authenticator, &tokens).await;
        let seen = checked(&authenticator, &tokens).await;
        let peer = peer(&tokens[0], &jwk.to_string());
        if round > 0 {
            first.push(unseen);
            again.push(seen);
            theirs.push(peer);
        }
    }
    let (first, theirs) = (Spread::of(first), Spread::of(theirs));
    println!(
        "one access token checked, {} rounds of {TOKENS}, in turns\n",
        ROUNDS - 1
    );
    println!("| | median | min | max | ratio | target |");
    println!("| --- | --- | --- | --- | --- | --- |");
    println!(
        "| kinora: form, signature, claims, ended sessions | {} | 1.00 | <= 50 µs |",
        first.micros()
    );
    let again = Spread::of(again);
    let ratio = again.median.as_secs_f64() / first.median.as_secs_f64();
    println!(
        "| kinora: a token that was seen before | {} | {ratio:.2} | |",
        again.micros()
    );
    let ratio = theirs.median.as_secs_f64() / first.median.as_secs_f64();
    println!(
        "| jose in node: form, signature, claims | {} | {ratio:.2} | |\n",
        theirs.micros()
    );
}

/// What checking one of the tokens takes.
async fn checked(authenticator: &Authenticator, tokens: &[String]) -> Duration {
    let begun = Instant::now();
    for token in tokens {
        authenticator.authenticate(token).await.unwrap();
    }
    begun.elapsed() / TOKENS
}

fn peer(token: &str, jwk: &str) -> Duration {
    let server = kinora_testkit::env::required(
        "KINORA_TEST_OIDC_SERVER",
        "the server of tools/oidc, beside which jose is installed",
    );
    let folder = std::path::Path::new(&server).parent().unwrap();
    let output = Command::new("node")
        .args(["--input-type=module", "-e", PEER])
        .current_dir(folder)
        .envs([("TOKEN", token), ("JWK", jwk), ("ISSUER", ISSUER)])
        .envs([("AUDIENCE", "scheduler"), ("COUNT", &TOKENS.to_string())])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let micros: f64 = text.trim().parse().unwrap_or_else(|_| {
        panic!("{text}{}", String::from_utf8_lossy(&output.stderr));
    });
    Duration::from_secs_f64(micros / 1e6)
}

async fn sign_ins(mesh: &SeparateProcesses) {
    let hash = hash_alone();
    let cores = std::thread::available_parallelism().unwrap().get();
    let people = accounts::sign_up(&mesh.accounts_channel(), mesh.folder.path(), 32).await;
    println!(
        "sign-ins by password, argon2id 19 MiB, 2 passes; {cores} cores; one hash alone takes {:.1} ms\n",
        millis(hash)
    );
    println!(
        "| clients at once | sign-ins/s | of what the hashes alone allow | p50 | p95 | most memory of the service |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for clients in [1, 2, 8, 32] {
        let begun = Instant::now();
        let mut times = Vec::new();
        let tasks = people[..clients].iter().map(|person| {
            let (channel, request) = (mesh.accounts_channel(), person.clone());
            tokio::spawn(async move {
                sign_in_often(channel, request, SIGN_INS.div_ceil(clients)).await
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            times.extend(task.await.unwrap());
        }
        let rate = f64::from(u32::try_from(times.len()).unwrap()) / begun.elapsed().as_secs_f64();
        let usable = f64::from(u32::try_from(clients.min(cores)).unwrap());
        let ideal = usable / hash.as_secs_f64();
        let memory = mesh.accounts.peak_resident_bytes() / MIB;
        times.sort();
        let at = |share: usize| millis(times[(times.len() - 1) * share / 100]);
        println!(
            "| {clients} | {rate:.1} | {:.0} % | {:.0} ms | {:.0} ms | {memory} MiB |",
            rate / ideal * 100.0,
            at(50),
            at(95)
        );
    }
    println!();
}

async fn sign_in_often(channel: Channel, request: SignInRequest, often: usize) -> Vec<Duration> {
    let mut client = AuthServiceClient::new(channel);
    let mut times = Vec::new();
    for _ in 0..often {
        let begun = Instant::now();
        client.sign_in(request.clone()).await.unwrap();
        times.push(begun.elapsed());
    }
    times
}

/// The median of one hash at the service's cost, on one core.
fn hash_alone() -> Duration {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let times = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        argon2.hash_password(b"seven lanterns by the lake").unwrap();
        begun.elapsed()
    });
    Spread::of(times.collect()).median
}

async fn calls(mesh: &SeparateProcesses) {
    let token = accounts::operator_token(&mesh.accounts_channel()).await;
    let ways = [
        ("API key, warm", mesh.api.clone()),
        ("access token", mesh.api.with(&token)),
    ];
    for (_, api) in &ways {
        call_often(api, "/v1/models").await;
    }
    println!(
        "GET /v1/models through edge and scheduler, {CALLS} calls one after the other, {} rounds in turns\n",
        ROUNDS - 1
    );
    println!("| by | p50 | p95, median of rounds | least | most | target |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 1..ROUNDS {
        for (way, (_, api)) in ways.iter().enumerate() {
            rounds[way].push(call_often(api, "/v1/models").await);
        }
    }
    for ((name, _), rounds) in ways.iter().zip(rounds) {
        let p50 = Spread::of(rounds.iter().map(|(p50, _)| *p50).collect());
        let p95 = Spread::of(rounds.iter().map(|(_, p95)| *p95).collect());
        let target = if name.starts_with("API") {
            "p95 <= 5 ms"
        } else {
            ""
        };
        println!(
            "| {name} | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {target} |",
            millis(p50.median),
            millis(p95.median),
            millis(p95.min),
            millis(p95.max)
        );
    }
}

/// p50 and p95 of one round.
async fn call_often(api: &Api, path: &str) -> (Duration, Duration) {
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        let reply = api.get(path).await;
        times.push(begun.elapsed());
        assert!(reply.status.is_success(), "{reply:?}");
    }
    times.sort();
    (times[CALLS / 2], times[CALLS * 95 / 100])
}

struct Spread {
    median: Duration,
    min: Duration,
    max: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self {
            median: times[times.len() / 2],
            min: times[0],
            max: times[times.len() - 1],
        }
    }

    fn micros(&self) -> String {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (median, min, max) = (micros(self.median), micros(self.min), micros(self.max));
        format!("{median:.1} µs | {min:.1} µs | {max:.1} µs")
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
