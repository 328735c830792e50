//! The caller's hold on a running generation.

/// Asked and told by a generation, on the thread that generates.
pub trait LlmControl {
    /// Asked before every token: true ends the generation.
    fn is_cancelled(&self) -> bool;

    /// Receives text as soon as it is certain: whole characters that no stop text can take back.
    fn piece(&mut self, text: &str);
}

/// A control that never cancels and ignores pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uninterrupted;

impl LlmControl for Uninterrupted {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn piece(&mut self, _: &str) {}
}
