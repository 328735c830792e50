//! Child processes with their logs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use kinora_testkit::env::{ffmpeg, required};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to end.
const END: Duration = Duration::from_secs(60);

/// A running program. Dropping it kills the process and, when a test fails, shows its log.
pub struct Program {
    child: Child,
    name: String,
    log: PathBuf,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to the standard output.
    pub output: String,
    /// What it wrote to the standard error.
    pub log: String,
}

impl Program {
    /// Starts `name` of this workspace with `arguments`; its files go into `folder`.
    #[must_use]
    pub fn start(name: &str, folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(name, folder, arguments, &[])
    }

    /// As [`Program::start`], with environment variables on top of the two that every program needs.
    #[must_use]
    pub fn start_with(
        name: &str,
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let stamp = rand::random::<u32>();
        let log = folder.join(format!("{name}-{stamp:08x}.log"));
        let output = log.with_extension("out");
        let child = Command::new(path_of(name))
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", folder)
            .env("KINORA_FFMPEG", ffmpeg())
            .env(
                "LD_LIBRARY_PATH",
                required("LD_LIBRARY_PATH", "the libraries of libtorch"),
            )
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .env("RUST_BACKTRACE", "1")
            .envs(environment.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(File::create(output).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            child,
            name: name.to_owned(),
            log,
        }
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the process to stop.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Stops the process in its tracks; it stays there, with its sockets, until [`Program::thaw`].
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Resident memory in bytes, from the kernel's accounting.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory in bytes that it has had.
    #[must_use]
    pub fn peak_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// Whether the process has not ended yet.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    pub async fn finish(mut self) -> Finished {
        let what = format!("{} has ended", self.name);
        let status = kinora_testkit::wait::until(&what, END, || {
            let status = self.child.try_wait().unwrap();
            std::future::ready(status.ok_or("still running"))
        })
        .await;
        let output = std::fs::read_to_string(self.log.with_extension("out")).unwrap();
        Finished {
            status,
            output,
            log: self.log(),
        }
    }

    /// What the process has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- the end of {}'s log\n{}", self.name, tail.join("\n"));
        }
    }
}

/// A program of this workspace: beside this one, or above it when this is a test.
fn path_of(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folders = own.ancestors().skip(1).take(2);
    let mut paths = folders.map(|folder| folder.join(name));
    let found = paths.find(|path| path.is_file());
    found.unwrap_or_else(|| {
        let own = own.display();
        panic!("{name} is not built beside {own}; run the tests with `make test`")
    })
}
