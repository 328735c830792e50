use std::sync::mpsc::{Receiver as StdReceiver, Sender as StdSender, channel as std_channel};
use std::time::Duration;

use super::super::chat::{ChatMessage, Role};
use super::super::model::FinishReason;
use super::super::sampling::SamplingOptions;
use super::*;

/// Does what the first message says.
struct Scripted {
    /// Says that it waits.
    began: StdSender<()>,
    go_on: StdReceiver<()>,
}

impl LlmBackend for Scripted {
    fn generate(
        &mut self,
        request: &LlmRequest,
        control: &mut dyn LlmControl,
    ) -> Result<LlmOutcome, LlmError> {
        let text = request.messages[0].text.clone();
        match text.as_str() {
            "panic" => panic!("on purpose"),
            "error" => return Err(LlmError::NotFinite),
            "wait" => {
                self.began.send(()).unwrap();
                self.go_on.recv().unwrap();
            }
            "until cancelled" => {
                self.began.send(()).unwrap();
                while !control.is_cancelled() {
                    std::thread::yield_now();
                }
                self.began.send(()).unwrap();
            }
            _ => text.split(' ').for_each(|word| control.piece(word)),
        }
        Ok(LlmOutcome {
            text,
            finish: FinishReason::End,
            prompt_tokens: 1,
            completion_tokens: 1,
            seconds: 0.0,
        })
    }
}

struct Rig {
    engine: LlmHandle,
    began: StdReceiver<()>,
    go_on: StdSender<()>,
}

fn rig(queue: usize) -> Rig {
    let (began_sender, began) = std_channel();
    let (go_on, go_on_receiver) = std_channel();
    let make = move || {
        Ok(Scripted {
            began: began_sender,
            go_on: go_on_receiver,
        })
    };
    let engine = LlmEngine::start_with(make, queue).unwrap();
    Rig {
        engine,
        began,
        go_on,
    }
}

impl Rig {
    fn ask(&self, text: &str) -> Result<LlmGeneration, LlmError> {
        self.engine.generate(LlmRequest {
            messages: vec![ChatMessage::new(Role::User, text)],
            options: SamplingOptions::default(),
            constraint: None,
            deadline: Instant::now() + Duration::from_secs(3600),
        })
    }
}

#[test]
fn pieces_come_before_the_outcome() {
    let rig = rig(1);
    let mut generation = rig.ask("one two").unwrap();
    let next =
        |generation: &mut LlmGeneration| futures::executor::block_on(generation.next_piece());
    assert_eq!(next(&mut generation).as_deref(), Some("one"));
    assert_eq!(next(&mut generation).as_deref(), Some("two"));
    assert_eq!(next(&mut generation), None);
    assert_eq!(generation.wait().unwrap().text, "one two");
}

#[test]
fn a_panic_or_an_error_ends_its_request_alone() {
    let rig = rig(4);
    let panicked = rig.ask("panic").unwrap();
    let failed = rig.ask("error").unwrap();
    let fine = rig.ask("fine").unwrap();
    let reason = panicked.wait().unwrap_err();
    assert_eq!(reason, LlmError::Engine("on purpose".to_owned()));
    assert_eq!(failed.wait().unwrap_err(), LlmError::NotFinite);
    assert_eq!(fine.wait().unwrap().text, "fine");
}

#[test]
fn a_full_queue_is_an_error_at_once() {
    let rig = rig(2);
    let running = rig.ask("wait").unwrap();
    rig.began.recv().unwrap();
    let waiting = [rig.ask("one").unwrap(), rig.ask("two").unwrap()];
    assert_eq!(rig.ask("three").unwrap_err(), LlmError::Busy { waiting: 2 });
    rig.go_on.send(()).unwrap();
    running.wait().unwrap();
    for generation in waiting {
        generation.wait().unwrap();
    }
}

#[test]
fn dropping_an_answer_cancels_it_running_or_waiting() {
    let rig = rig(2);
    let running = rig.ask("until cancelled").unwrap();
    rig.began.recv().unwrap();
    let waiting = rig.ask("wait").unwrap();
    drop(waiting);
    drop(running);
    rig.began.recv().unwrap();
    // Had the one that waited been taken up, this would never be answered.
    assert_eq!(rig.ask("fine").unwrap().wait().unwrap().text, "fine");
}

#[test]
fn the_thread_ends_with_its_last_handle() {
    let Rig {
        engine,
        began,
        go_on,
    } = rig(1);
    let clone = engine.clone();
    drop(engine);
    drop(clone);
    // The backend is dropped with its thread, and the sender in it.
    assert!(began.recv().is_err());
    drop(go_on);
}

#[test]
fn what_cannot_be_made_is_an_error_of_the_start() {
    let make = || -> Result<Scripted, LoadError> { Err(LoadError::Engine("none".to_owned())) };
    let error = LlmEngine::start_with(make, 1).unwrap_err();
    assert_eq!(error.to_string(), "engine: none");
}
