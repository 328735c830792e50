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

async fn generate(
    engine: &Engine,
    request: GenerateRequest,
    cancel: CancelFlag,
) -> Result<Generated, BackendError> {
    let (events, _) = mpsc::unbounded_channel();
    engine
        .generate("fake".to_owned(), request, cancel, events)
        .await
}

#[tokio::test]
async fn a_failed_clip_leaves_the_engine_serving() {
    let engine = Engine::start(Box::new(FakeBackend { gate: Gate::open() })).unwrap();
    let failed = generate(&engine, request("memory", 1), CancelFlag::default()).await;
    assert!(matches!(
        failed,
        Err(BackendError::Generate(GenerateError::OutOfMemory))
    ));
    let clip = generate(&engine, request("fine", 1), CancelFlag::default())
        .await
        .unwrap()
        .clip;
    assert_eq!((clip.frames, clip.rgb.len()), (5, 16 * 16 * 5 * 3));
}

#[tokio::test]
async fn a_clip_cancelled_while_it_waits_never_starts() {
    let gate = Gate::default();
    let engine = Engine::start(Box::new(FakeBackend { gate: gate.clone() })).unwrap();
    let (first, second) = (CancelFlag::default(), CancelFlag::default());
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
