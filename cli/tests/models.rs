//! `kinora models` as a person uses it, on a store in a folder and a mirror in another.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kinora_cli::arguments::{Arguments, Command as Line};
use kinora_model_store::Catalogue;
use kinora_models::ModelCard;
use sha2::{Digest, Sha256};

/// The model that comes with the repository, as something to pull.
fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/kinora-tiny-t2v")
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// A mirror with the small model under the name `small`, and a catalogue that says so.
    fn new(is_gated: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("mirror/small");
        let mut files = Vec::new();
        copy(&tiny(), &mirror, Path::new(""), &mut files);
        let card = std::fs::read_to_string(tiny().join("kinora.json")).unwrap();
        let card: serde_json::Value = serde_json::from_str(&card).unwrap();
        let table = |name: &str| {
            let fields = card[name].as_object().unwrap().iter();
            let fields = fields.map(|(key, value)| format!("{key} = {value}"));
            fields.collect::<Vec<_>>().join(", ")
        };
        let bytes: usize = files.iter().map(|(_, bytes, _)| bytes).sum();
        let files: Vec<String> = files
            .iter()
            .map(|(path, size, digest)| {
                format!("{{ path = \"{path}\", size = {size}, sha256 = \"{digest}\" }}")
            })
            .collect();
        let text = format!(
            "[models.small]\ntitle = \"Small\"\nfamily = \"wan-t2v\"\n\
             licence = {{ spdx = \"LicenseRef-test\", url = \"https://example.org\", accept = {is_gated}, text = \"THE TERMS\" }}\n\
             source = {{ hub = \"https://hub.invalid\", repo = \"a/b\", revision = \"0\" }}\n\
             needs = {{ download_bytes = {bytes}, weights_bytes_bf16 = 1 }}\n\
             defaults = {{ {} }}\nlimits = {{ {} }}\nfiles = [{}]\n",
            table("defaults"),
            table("limits"),
            files.join(", ")
        );
        std::fs::write(folder.path().join("catalogue.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn models(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinora"));
        command.arg("models").args(arguments);
        for variable in [
            "KINORA_SERVER",
            "KINORA_MODEL_MIRROR",
            "KINORA_OFFLINE",
            "KINORA_LOG",
        ] {
            command.env_remove(variable);
        }
        command
            .env("KINORA_DATA_DIR", self.path("data"))
            .env("KINORA_MODEL_STORE", self.path("store"))
            .env("KINORA_MODEL_CATALOGUE", self.path("catalogue.toml"))
            .env("USER", "ada");
        command
    }

    fn pull(&self, more: &[&str]) -> Output {
        let mirror = self.path("mirror");
        let line = ["pull", "small", "--mirror", &mirror, "--offline"];
        self.models(&[line.as_slice(), more].concat())
    }
}

/// Copies what a hub would have, and notes path, size and digest.
fn copy(from: &Path, to: &Path, under: &Path, files: &mut Vec<(String, usize, String)>) {
    std::fs::create_dir_all(to.join(under)).unwrap();
    for entry in std::fs::read_dir(from.join(under)).unwrap().flatten() {
        let path = under.join(entry.file_name());
        if entry.path().is_dir() {
            copy(from, to, &path, files);
        } else if path != Path::new("kinora.json") {
            let bytes = std::fs::read(entry.path()).unwrap();
            std::fs::write(to.join(&path), &bytes).unwrap();
            let digest = hex::encode(Sha256::digest(&bytes));
            files.push((path.to_str().unwrap().to_owned(), bytes.len(), digest));
        }
    }
}

fn output(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ended_with(ended: &Output, status: i32) {
    assert_eq!(
        ended.status.code(),
        Some(status),
        "{}\n{}",
        output(ended),
        log(ended)
    );
}

/// What `kinora up` offers on the data folder and the store of the bench.
fn offered(bench: &Bench) -> Vec<String> {
    let (tiny, store, data) = (tiny(), bench.path("store"), bench.path("data"));
    let line = [
        "kinora",
        "up",
        "--data-dir",
        &data,
        "--models",
        tiny.to_str().unwrap(),
        "--model-store",
        &store,
    ];
    let arguments = <Arguments as clap::Parser>::try_parse_from(line).unwrap();
    let Line::Up(up) = arguments.command else {
        panic!("not up");
    };
    let models = up.engine.places.find_models(&arguments.folders).unwrap();
    models.into_iter().map(|model| model.id).collect()
}

#[test]
fn a_pulled_model_is_listed_verified_offered_and_removed() {
    let bench = Bench::new(false);
    let pulled = bench.pull(&[]);
    ended_with(&pulled, 0);
    assert!(
        output(&pulled).contains("small is installed in"),
        "{}",
        output(&pulled)
    );
    assert!(log(&pulled).contains("100% of"), "{}", log(&pulled));
    let list = output(&bench.models(&["list"]));
    let line = list
        .lines()
        .find(|line| line.starts_with("small "))
        .unwrap();
    assert!(line.contains("installed"), "{line}");
    assert!(list.contains("wan2.2-ti2v-5b"), "{list}");
    ended_with(&bench.models(&["verify"]), 0);
    let offered = || offered(&bench);
    assert_eq!(offered(), ["kinora-tiny-t2v", "small"]);
    ended_with(&bench.models(&["remove", "small"]), 0);
    assert_eq!(offered(), ["kinora-tiny-t2v"]);
    ended_with(&bench.models(&["remove", "small"]), 2);
}

#[test]
fn a_bad_file_is_named_and_mended() {
    let bench = Bench::new(false);
    ended_with(&bench.pull(&["--quiet"]), 0);
    let readme = bench.path("store/small/README.md");
    let mut bytes = std::fs::read(&readme).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&readme, bytes).unwrap();
    let verified = bench.models(&["verify", "small"]);
    ended_with(&verified, 1);
    assert!(
        output(&verified).contains("README.md: expected sha256"),
        "{}",
        output(&verified)
    );
    ended_with(&bench.pull(&["--repair"]), 0);
    let verified = bench.models(&["verify", "small", "--json"]);
    ended_with(&verified, 0);
    let report: serde_json::Value = serde_json::from_str(&output(&verified)).unwrap();
    let files = report[0]["files"].as_array().unwrap();
    assert!(
        files.len() > 3 && files.iter().all(|file| file["verdict"] == "good"),
        "{report}"
    );
}

#[test]
fn a_gated_model_shows_its_terms_and_records_who_accepted() {
    let bench = Bench::new(true);
    let refused = bench.pull(&[]);
    ended_with(&refused, 2);
    assert!(log(&refused).contains("THE TERMS"), "{}", log(&refused));
    assert!(
        log(&refused).contains("--accept-licence"),
        "{}",
        log(&refused)
    );
    let pulled = bench.pull(&["--accept-licence", "--json"]);
    ended_with(&pulled, 0);
    let report: serde_json::Value = serde_json::from_str(&output(&pulled)).unwrap();
    assert_eq!(report[0]["record"]["licence"]["accepted"]["by"], "ada");
}

#[test]
fn mistakes_end_with_status_two_and_say_what_would_do() {
    let bench = Bench::new(false);
    let check = |arguments: &[&str], part: &str| {
        let ended = bench.models(arguments);
        ended_with(&ended, 2);
        assert!(log(&ended).contains(part), "{part}: {}", log(&ended));
    };
    check(&["pull", "nothing"], "kinora models list");
    check(&["pull"], "<ID>");
    check(&["pull", "small", "--mirror", "ftp://x"], "not a mirror");
    check(&["pull", "small", "--offline"], "--mirror");
    check(&["verify", "small"], "kinora models pull small");
    check(&["verify", "../store"], "not installed");
}

#[test]
fn a_mirror_without_the_files_is_status_one() {
    let bench = Bench::new(false);
    std::fs::remove_dir_all(bench.path("mirror")).unwrap();
    let ended = bench.pull(&[]);
    ended_with(&ended, 1);
    assert!(log(&ended).contains("it is not there"), "{}", log(&ended));
}

/// A hub that sends the first byte of a file and then nothing. Tells when it has done so.
fn silent_hub(stalled: std::sync::mpsc::Sender<()>) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        // Connections stay open until the test ends.
        let mut connections = Vec::new();
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4096]).unwrap();
            let head = b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 3\r\n\r\na";
            connection.write_all(head).unwrap();
            connections.push(connection);
            let _ = stalled.send(());
        }
    });
    address
}

#[test]
fn an_interrupted_pull_ends_at_once_and_keeps_its_bytes() {
    let bench = Bench::new(false);
    let (sender, stalled) = std::sync::mpsc::channel();
    let catalogue = std::fs::read_to_string(bench.path("catalogue.toml")).unwrap();
    let (head, _) = catalogue.split_once("files = ").unwrap();
    let head = head.replace("https://hub.invalid", &silent_hub(sender));
    let files = "files = [{ path = \"abc\" }]\n";
    std::fs::write(bench.path("catalogue.toml"), format!("{head}{files}")).unwrap();
    let pull = bench
        .command(&["pull", "small"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    stalled.recv().unwrap();
    let partial = PathBuf::from(bench.path("store/small.part/abc.partial"));
    while !partial.exists() {
        std::thread::yield_now();
    }
    let id = rustix::process::Pid::from_child(&pull);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = pull.wait_with_output().unwrap();
    ended_with(&ended, 130);
    assert!(log(&ended).contains("the same command"), "{}", log(&ended));
    let list = output(&bench.models(&["list"]));
    assert!(
        list.lines()
            .any(|line| line.starts_with("small ") && line.contains("partial")),
        "{list}"
    );
    ended_with(&bench.models(&["verify", "small"]), 2);
}

#[test]
fn every_help_page_teaches() {
    let bench = Bench::new(false);
    for command in ["list", "pull", "verify", "remove"] {
        let help = bench.models(&[command, "--help"]);
        ended_with(&help, 0);
        assert!(output(&help).contains("--model-store"), "{command}");
    }
    assert!(output(&bench.models(&["--help"])).contains("Examples:"));
}

#[test]
fn models_without_a_subcommand_still_asks_the_mesh() {
    let bench = Bench::new(false);
    ended_with(&bench.models(&[]), 3);
    ended_with(&bench.models(&["list", "--served"]), 3);
}

#[test]
fn two_processes_fetch_once_and_both_succeed() {
    let bench = Bench::new(false);
    let ended = std::thread::scope(|scope| {
        let pulls = [(); 3].map(|()| scope.spawn(|| bench.pull(&[])));
        pulls.map(|pull| pull.join().unwrap())
    });
    for pull in &ended {
        ended_with(pull, 0);
    }
    let fetched = ended
        .iter()
        .filter(|pull| output(pull).contains("small is installed in"));
    assert_eq!(fetched.count(), 1);
}

#[test]
fn the_cards_of_the_catalogue_are_what_loaders_read() {
    for entry in Catalogue::built_in().unwrap().models() {
        let json = serde_json::to_string(&entry.card()).unwrap();
        let card: ModelCard = serde_json::from_str(&json).unwrap();
        assert_eq!(card.id, entry.id);
        let defaults = &card.defaults;
        let multiple = if entry.family == "wan-ti2v" { 32 } else { 16 };
        assert_eq!(
            (defaults.width % multiple, defaults.height % multiple),
            (0, 0),
            "{}",
            card.id
        );
        assert_eq!(defaults.frames % 4, 1, "{}", card.id);
        assert!(!defaults.negative_prompt.is_empty());
    }
}
