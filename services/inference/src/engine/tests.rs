use kinora_models::{Sampler, SigmaGrid};

use super::*;
use crate::fake::{FakeBackend, Gate};

fn request(prompt: &str, steps: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.to_owned(),
        negative_prompt: String::new(),
        width: 16,
        height: 16,
        frames: 5,
        steps,
        guidance: 1.0,
        seed: 1,
        sampler: Sampler::UniPc,
        grid: SigmaGrid::Diffusers,
        image: None,
        last_image: None,
    }
}

const EVERY_STEP: Rhythm = Rhythm {
    checkpoints: Duration::ZERO,
    previews: Some(Duration::ZERO),
};

fn start(gate: Gate) -> std::io::Result<Engine> {
    Engine::start(Box::new(FakeBackend { gate }), EVERY_STEP)
}

async fn generate(
    engine: &Engine,
    request: GenerateRequest,
    signal: SignalCell,
) -> Result<Generated, BackendError> {
    let (events, _) = mpsc::unbounded_channel();
    let order = Order {
        model: "fake".to_owned(),
        request,
        checkpoint: None,
        signal,
        device_time: DeviceTime::default(),
    };
    engine.generate(order, events).await
}

#[tokio::test]
async fn a_failed_clip_leaves_the_engine_serving() {
    let engine = start(Gate::open()).unwrap();
    let failed = generate(&engine, request("memory", 1), SignalCell::default()).await;
    assert!(matches!(
        failed,
        Err(BackendError::Generate(GenerateError::OutOfMemory))
    ));
    let clip = generate(&engine, request("fine", 1), SignalCell::default())
        .await
        .unwrap()
        .rendering
        .clip;
    assert_eq!((clip.frames, clip.rgb.len()), (5, 16 * 16 * 5 * 3));
}

#[tokio::test]
async fn a_clip_cancelled_while_it_waits_never_starts() {
    let gate = Gate::default();
    let engine = start(gate.clone()).unwrap();
    let (first, second) = (SignalCell::default(), SignalCell::default());
    let running = generate(&engine, request("one", 1), first.clone());
    let waiting = generate(&engine, request("two", 1), second.clone());
    second.cancel();
    first.cancel();
    let (running, waiting) = tokio::join!(running, waiting);
    for result in [running, waiting] {
        assert!(matches!(
            result,
            Err(BackendError::Generate(GenerateError::Cancelled))
        ));
    }
}

#[test]
fn a_cancellation_outweighs_a_pause() {
    let cell = SignalCell::default();
    assert_eq!(cell.signal(), Signal::GoOn);
    let other = cell.clone();
    other.pause();
    assert_eq!(cell.signal(), Signal::Pause);
    cell.cancel();
    other.pause();
    assert_eq!(other.signal(), Signal::Cancel);
}

#[test]
fn checkpoints_are_due_by_time_since_denoising_began() {
    let mut never = Pace::new(Duration::from_secs(3600));
    never.begin();
    assert!(!never.is_due() && !never.is_due());
    let mut always = Pace::new(Duration::ZERO);
    always.begin();
    assert!(always.is_due() && always.is_due());
}

#[tokio::test]
async fn a_paused_clip_hands_over_and_goes_on_elsewhere() {
    let gate = Gate::default();
    let engine = start(gate.clone()).unwrap();
    let signal = SignalCell::default();
    let (sender, mut events) = mpsc::unbounded_channel();
    let order = |checkpoint| Order {
        model: "fake".to_owned(),
        request: request("fine", 4),
        checkpoint,
        signal: signal.clone(),
        device_time: DeviceTime::default(),
    };
    let running = engine.generate(order(None), sender);
    gate.allow(2);
    let mut newest = None;
    let pausing = async {
        while let Some(event) = events.recv().await {
            if let EngineEvent::Checkpoint(checkpoint) = event {
                if checkpoint.step == 2 {
                    signal.pause();
                }
                newest = Some(checkpoint);
            }
        }
    };
    let (result, ()) = tokio::join!(running, pausing);
    assert!(matches!(
        result,
        Err(BackendError::Generate(GenerateError::Paused))
    ));
    let checkpoint = newest.unwrap();
    assert_eq!((checkpoint.step, checkpoint.steps), (2, 4));
    gate.allow(2);
    let (events, _) = mpsc::unbounded_channel();
    let again = Order {
        signal: SignalCell::default(),
        device_time: DeviceTime::default(),
        ..order(Some(checkpoint.bytes.into()))
    };
    let generated = engine.generate(again, events).await.unwrap();
    assert_eq!(generated.rendering.resumed_step, 2);
}
