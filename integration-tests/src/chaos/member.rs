//! A process of the mesh that can be ended and started again as it was.

use std::path::PathBuf;

use crate::Program;

/// How a process is started, every time.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// The program of this workspace.
    pub program: &'static str,
    /// Its working folder, where its logs go.
    pub folder: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, besides what every program gets.
    pub environment: Vec<(&'static str, String)>,
}

impl CommandLine {
    /// Starts it.
    #[must_use]
    pub fn start(&self) -> Program {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> = self
            .environment
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        Program::start_with(self.program, &self.folder, &arguments, &environment)
    }
}

/// A process and how to start it again.
pub struct Member {
    /// Its name among its kind.
    pub name: String,
    /// How it is started the next time.
    pub command: CommandLine,
    program: Program,
}

impl Member {
    /// Starts it for the first time.
    #[must_use]
    pub fn start(name: String, command: CommandLine) -> Self {
        let program = command.start();
        Self {
            name,
            command,
            program,
        }
    }

    /// Ends it at once and takes it off the process table.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Ends it if need be, and starts it again.
    pub fn restart(&mut self) {
        self.program.kill();
        self.program = self.command.start();
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.program.terminate();
    }

    /// Stops it in its tracks.
    pub fn freeze(&self) {
        self.program.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.program.thaw();
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.program.is_running()
    }

    /// What it has logged since it was started last.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.log()
    }
}
