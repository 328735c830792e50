//! Running a program with a fed input, a time limit, and no way to hang.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::MediaError;

const STDERR_TAIL_BYTES: usize = 4096;
/// What ffmpeg prints, in the C locale, when a write finds no room.
const NO_ROOM: [&str; 3] = [
    "No space left on device",
    "File too large",
    "Disk quota exceeded",
];

/// One run of a program.
pub(crate) struct Run<'a> {
    pub program: &'a Path,
    pub arguments: Vec<OsString>,
    pub stdin: &'a [u8],
    /// More output than this is an error.
    pub max_stdout_bytes: u64,
    pub timeout: Duration,
}

impl Run<'_> {
    /// Runs it to its end and returns its output.
    ///
    /// Input, output and messages each have a thread, so that no full pipe can block another. The program has a process
    /// group of its own, and what is left of the group is killed at the end or at the timeout: this always returns.
    pub fn finish(self) -> Result<Vec<u8>, MediaError> {
        let mut child = self.spawn()?;
        let group = Pid::from_child(&child);
        let (stdin, stdout, stderr) = pipes_of(&mut child)?;
        let ended = thread::scope(|scope| {
            scope.spawn(|| feed(stdin, self.stdin));
            let output = scope.spawn(|| read_at_most(stdout, self.max_stdout_bytes));
            let messages = scope.spawn(|| tail_of(stderr));
            let (status_tx, status_rx) = mpsc::channel();
            scope.spawn(move || status_tx.send(child.wait()));
            let in_time = status_rx.recv_timeout(self.timeout);
            // Fails when nothing of the group is left, which is the usual case.
            let _ = kill_process_group(group, Signal::KILL);
            Ended {
                status: in_time.ok().transpose(),
                output: output
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("reader panicked"))),
                messages: messages.join().unwrap_or_default(),
            }
        });
        self.judge(ended)
    }

    fn spawn(&self) -> Result<Child, MediaError> {
        Command::new(self.program)
            .args(&self.arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| MediaError::FfmpegMissing {
                path: self.program.to_owned(),
                source,
            })
    }

    fn judge(&self, ended: Ended) -> Result<Vec<u8>, MediaError> {
        let unreadable = |source| MediaError::file(self.program, source);
        let Some(status) = ended.status.map_err(unreadable)? else {
            return Err(MediaError::TimedOut {
                timeout: self.timeout,
            });
        };
        let output = ended.output.map_err(unreadable)?;
        if output.len() as u64 > self.max_stdout_bytes {
            let limit = self.max_stdout_bytes;
            return Err(MediaError::Invalid(format!(
                "ffmpeg put out more than {limit} bytes"
            )));
        }
        if status.success() {
            Ok(output)
        } else {
            Err(failure(status, ended.messages))
        }
    }
}

struct Ended {
    /// `None` after a timeout.
    status: io::Result<Option<ExitStatus>>,
    output: io::Result<Vec<u8>>,
    messages: String,
}

fn pipes_of(child: &mut Child) -> Result<(ChildStdin, ChildStdout, ChildStderr), MediaError> {
    match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok((stdin, stdout, stderr)),
        _ => Err(MediaError::Invalid(
            "ffmpeg was started without its pipes".to_owned(),
        )),
    }
}

/// A program that stops reading has failed, or needs no more; its status tells, not the broken pipe.
fn feed(mut stdin: ChildStdin, input: &[u8]) {
    let _ = stdin.write_all(input);
}

/// Reads one byte beyond the limit at most, as the sign that it was passed.
fn read_at_most(stdout: ChildStdout, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    stdout
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut output)?;
    Ok(output)
}

fn tail_of(mut stderr: ChildStderr) -> String {
    let mut tail = Vec::new();
    let mut chunk = [0; STDERR_TAIL_BYTES];
    while let Ok(count @ 1..) = stderr.read(&mut chunk) {
        tail.extend_from_slice(&chunk[..count]);
        let surplus = tail.len().saturating_sub(STDERR_TAIL_BYTES);
        tail.drain(..surplus);
    }
    String::from_utf8_lossy(&tail).trim().to_owned()
}

fn failure(status: ExitStatus, stderr_tail: String) -> MediaError {
    match status.signal() {
        Some(signal) if signal == Signal::XFSZ.as_raw() => MediaError::DiskFull,
        Some(signal) => MediaError::Killed { signal },
        None if NO_ROOM.iter().any(|text| stderr_tail.contains(text)) => MediaError::DiskFull,
        None => MediaError::FfmpegFailed {
            status: status.code().unwrap_or(-1),
            stderr_tail,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shell(script: &str, timeout: Duration) -> Result<Vec<u8>, MediaError> {
        let stdin = vec![b'x'; 1 << 20];
        let arguments = vec!["-c".into(), script.into()];
        let program = Path::new("/bin/sh");
        Run {
            program,
            arguments,
            stdin: &stdin,
            max_stdout_bytes: 1 << 20,
            timeout,
        }
        .finish()
    }

    const AMPLE: Duration = Duration::from_secs(60);

    #[test]
    fn output_is_what_the_program_wrote() {
        assert_eq!(shell("cat", AMPLE).expect("runs").len(), 1 << 20);
    }

    #[test]
    fn program_that_reads_nothing_may_still_succeed() {
        assert_eq!(shell("echo done", AMPLE).expect("runs"), b"done\n");
    }

    #[test]
    fn flood_of_messages_does_not_block_it() {
        let error = shell(
            "head -c 3000000 /dev/zero >&2; echo last >&2; exit 3",
            AMPLE,
        );
        match error.expect_err("fails") {
            MediaError::FfmpegFailed {
                status: 3,
                stderr_tail,
            } => {
                assert!(stderr_tail.ends_with("last") && stderr_tail.len() <= STDERR_TAIL_BYTES);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn too_much_output_is_refused() {
        let error = shell("head -c 1048577 /dev/zero", AMPLE).expect_err("too much");
        assert!(matches!(error, MediaError::Invalid(_)), "{error:?}");
    }

    #[test]
    fn timeout_kills_the_program_and_its_children() {
        let start = Instant::now();
        let error = shell("sleep 300 & sleep 300", Duration::from_millis(200)).expect_err("late");
        assert!(matches!(error, MediaError::TimedOut { .. }), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn child_left_behind_does_not_hold_the_pipes_open() {
        let start = Instant::now();
        assert_eq!(
            shell("sleep 300 & echo done", AMPLE).expect("runs"),
            b"done\n"
        );
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn no_room_is_told_apart_from_other_failures() {
        let full = shell("echo 'x: No space left on device' >&2; exit 1", AMPLE);
        assert!(matches!(full, Err(MediaError::DiskFull)), "{full:?}");
        let limited = shell("kill -XFSZ $$", AMPLE);
        assert!(matches!(limited, Err(MediaError::DiskFull)), "{limited:?}");
        let killed = shell("kill -KILL $$", AMPLE);
        assert!(
            matches!(killed, Err(MediaError::Killed { signal: 9 })),
            "{killed:?}"
        );
    }
}
