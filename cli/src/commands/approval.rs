//! Asking a person at a terminal.

use std::io::{IsTerminal, Write};

use tokio::sync::oneshot;

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// There is nobody to ask.
    Later,
}

/// Asks a question that is answered with y or n. Without a terminal there is nobody to ask.
pub(super) async fn ask(question: &str) -> Answer {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Answer::Later;
    }
    let question = question.to_owned();
    let (sender, answer) = oneshot::channel();
    // A thread of its own: it may wait for a key for ever, and must not hold up the end of the process.
    std::thread::spawn(move || {
        let answer = converse(
            &question,
            &mut std::io::stdin().lock(),
            &mut std::io::stderr(),
        );
        // Nobody listens any more after Ctrl-C.
        let _ = sender.send(answer);
    });
    answer.await.unwrap_or(Answer::Later)
}

/// Asks until the answer is one. The end of the input is none.
fn converse(question: &str, input: &mut impl std::io::BufRead, output: &mut impl Write) -> Answer {
    loop {
        if write!(output, "{question} [y/n] ")
            .and_then(|()| output.flush())
            .is_err()
        {
            return Answer::Later;
        }
        let mut line = String::new();
        match input.read_line(&mut line) {
            Ok(0) | Err(_) => return Answer::Later,
            Ok(_) => {}
        }
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Answer::Yes,
            "n" | "no" => return Answer::No,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_answer_counts() {
        let answer = |input: &str| {
            let mut output = Vec::new();
            let answer = converse("make it?", &mut input.as_bytes(), &mut output);
            (
                answer,
                String::from_utf8(output)
                    .unwrap()
                    .matches("make it?")
                    .count(),
            )
        };
        assert_eq!(answer("y\n"), (Answer::Yes, 1));
        assert_eq!(answer("NO\n"), (Answer::No, 1));
        assert_eq!(answer("\nwhat\nyes\n"), (Answer::Yes, 3));
        assert_eq!(answer("what\n"), (Answer::Later, 2));
        assert_eq!(answer(""), (Answer::Later, 1));
    }
}
