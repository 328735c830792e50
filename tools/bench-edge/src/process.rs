//! Child processes, and what the kernel says of their time and memory.

use std::ffi::OsStr;
use std::fs::{File, read_to_string};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// What the kernel counts a program's time in; Linux shows it as this to every program, whatever its own clock does.
const TICKS_PER_SECOND: u64 = 100;

/// A running program. Dropping it ends the process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it writes goes to files in `folder`. It reads from [`Process::input`].
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        folder: &Path,
        arguments: &[A],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let name = program.file_name().unwrap_or_default();
        let log = folder.join(name).with_extension("log");
        let errors = File::create(&log)?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(errors.try_clone()?)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        Ok(Self { child, log })
    }

    /// Where the program reads from. None once it was taken.
    pub const fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        read_to_string(&self.log).unwrap_or_default()
    }

    /// The time that it has had on processors, in its own code and in the kernel.
    pub fn processor_time(&self) -> Result<Duration> {
        processor_time(&self.read("stat")?)
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("no VmRSS")?.parse::<u64>()? * 1024)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        read_to_string(&path).with_context(|| format!("{path}; its log:\n{}", self.log()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The time that this process has had on processors.
pub fn own_processor_time() -> Result<Duration> {
    processor_time(&read_to_string("/proc/self/stat")?)
}

fn processor_time(stat: &str) -> Result<Duration> {
    // The name in brackets may have spaces.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || {
        let field = fields.next().context("too few fields")?;
        Ok::<u64, anyhow::Error>(field.parse()?)
    };
    let ticks = ticks()? + ticks()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// A program that is built beside this one.
pub fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.with_file_name(name);
    anyhow::ensure!(
        path.is_file(),
        "{name} is not beside {}; `make bench-edge` builds both",
        own.display()
    );
    Ok(path)
}
