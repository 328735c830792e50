//! Checkpoints and previews of a whole generation.

use kinora_models::{
    Checkpoint, Control, GenerateError, GenerateRequest, LoadOptions, Picture, Progress, Sampler,
    SigmaGrid, Signal, Stage, WanPipeline,
};
use safetensors::tensor::TensorView;

use crate::loading::{copy_of_model, edit_weights};
use crate::support::{Recorder, goldens, one_thread};

const STEPS: u32 = 6;

/// Keeps what a generation hands over, and pauses it once a step has begun.
#[derive(Default)]
struct Keeper {
    checkpoints: Vec<Checkpoint>,
    previews: Vec<Picture>,
    refusals: Vec<String>,
    progress: Vec<Progress>,
    pause_after_step: Option<u32>,
}

impl Control for Keeper {
    fn signal(&self) -> Signal {
        let last = self.progress.last().map_or(0, |progress| progress.step);
        match self.pause_after_step {
            Some(step) if last >= step => Signal::Pause,
            _ => Signal::GoOn,
        }
    }

    fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }

    fn wants_checkpoint(&mut self) -> bool {
        self.pause_after_step.is_none()
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) {
        self.checkpoints.push(checkpoint);
    }

    fn checkpoint_refused(&mut self, reason: &str) {
        self.refusals.push(reason.to_owned());
    }

    fn wants_preview(&mut self) -> bool {
        true
    }

    fn preview(&mut self, picture: Picture) {
        self.previews.push(picture);
    }
}

fn pipeline() -> WanPipeline {
    WanPipeline::load(&goldens().join("pipeline"), &one_thread()).unwrap()
}

fn request(pipeline: &WanPipeline, sampler: Sampler) -> GenerateRequest {
    GenerateRequest {
        steps: STEPS,
        sampler,
        grid: SigmaGrid::Native,
        ..GenerateRequest::with_defaults(pipeline.card(), "a red circle moves", 5)
    }
}

#[test]
fn a_run_resumed_after_any_step_gives_the_same_bytes() {
    for sampler in [Sampler::UniPc, Sampler::Euler, Sampler::DpmPp] {
        let mut pipeline = pipeline();
        let request = request(&pipeline, sampler);
        let mut keeper = Keeper::default();
        let whole = pipeline.render(&request, None, &mut keeper).unwrap();
        assert_eq!(keeper.checkpoints.len(), STEPS as usize);
        drop(pipeline);
        for checkpoint in keeper.checkpoints {
            // Another pipeline, as another process would have.
            let mut pipeline = self::pipeline();
            let mut recorder = Recorder::default();
            let bytes = Some(checkpoint.bytes.as_slice());
            let resumed = pipeline.render(&request, bytes, &mut recorder).unwrap();
            assert_eq!(resumed.resumed_step, checkpoint.step);
            assert_eq!(resumed.latents_sha256, whole.latents_sha256);
            assert_eq!(resumed.clip, whole.clip);
        }
    }
}

#[test]
fn a_paused_run_hands_over_its_last_step() {
    let mut pipeline = pipeline();
    let request = request(&pipeline, Sampler::UniPc);
    let whole = pipeline.render(&request, None, &mut Recorder::default());
    let mut keeper = Keeper {
        pause_after_step: Some(3),
        ..Keeper::default()
    };
    let paused = pipeline.render(&request, None, &mut keeper);
    assert!(matches!(paused, Err(GenerateError::Paused)));
    let checkpoint = keeper.checkpoints.pop().unwrap();
    assert_eq!(checkpoint.step, 3);
    let bytes = Some(checkpoint.bytes.as_slice());
    let resumed = pipeline.render(&request, bytes, &mut Recorder::default());
    assert_eq!(resumed.unwrap().clip, whole.unwrap().clip);
}

/// Pauses once decoding has begun.
#[derive(Default)]
struct PausedInDecoding {
    is_decoding: bool,
    checkpoint: Option<Checkpoint>,
}

impl Control for PausedInDecoding {
    fn signal(&self) -> Signal {
        if self.is_decoding {
            Signal::Pause
        } else {
            Signal::GoOn
        }
    }

    fn progress(&mut self, progress: Progress) {
        self.is_decoding = progress.stage == Stage::Decoding;
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) {
        self.checkpoint = Some(checkpoint);
    }
}

#[test]
fn a_run_paused_while_decoding_is_not_denoised_again() {
    let mut pipeline = pipeline();
    let request = request(&pipeline, Sampler::UniPc);
    let whole = pipeline.render(&request, None, &mut Recorder::default());
    let mut control = PausedInDecoding::default();
    let paused = pipeline.render(&request, None, &mut control);
    assert!(matches!(paused, Err(GenerateError::Paused)));
    let checkpoint = control.checkpoint.unwrap();
    assert_eq!(checkpoint.step, STEPS);
    let bytes = Some(checkpoint.bytes.as_slice());
    let resumed = pipeline.render(&request, bytes, &mut Recorder::default());
    let resumed = resumed.unwrap();
    assert_eq!(resumed.resumed_step, STEPS);
    assert_eq!(resumed.clip, whole.unwrap().clip);
}

#[test]
fn a_run_with_a_step_cache_resumes_to_the_same_bytes() {
    let options = LoadOptions {
        step_cache: 0.3,
        ..one_thread()
    };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../../models/kinora-tiny-t2v");
    let load = || WanPipeline::load(&folder, &options).unwrap();
    let mut pipeline = load();
    let request = GenerateRequest {
        steps: 8,
        ..GenerateRequest::with_defaults(pipeline.card(), "a red circle moves right", 2)
    };
    let mut keeper = Keeper::default();
    let whole = pipeline.render(&request, None, &mut keeper).unwrap();
    for checkpoint in [&keeper.checkpoints[2], &keeper.checkpoints[5]] {
        let bytes = Some(checkpoint.bytes.as_slice());
        let resumed = load().render(&request, bytes, &mut Recorder::default());
        let resumed = resumed.unwrap();
        assert_eq!(resumed.resumed_step, checkpoint.step);
        assert_eq!(resumed.latents_sha256, whole.latents_sha256);
    }
    let mut exact = WanPipeline::load(&folder, &one_thread()).unwrap();
    let bytes = Some(keeper.checkpoints[2].bytes.as_slice());
    let mut keeper = Keeper::default();
    exact.render(&request, bytes, &mut keeper).unwrap();
    assert_eq!(keeper.refusals.len(), 1, "other surroundings");
}

#[test]
fn latents_that_are_no_numbers_end_the_clip_and_not_the_pipeline() {
    let model = copy_of_model();
    let file = "transformer/diffusion_pytorch_model.safetensors";
    // All bits set is no number in any float format.
    static NOT_NUMBERS: [u8; 256] = [0xff; 256];
    edit_weights(&model.path().join(file), |tensors| {
        let bias = &tensors["proj_out.bias"];
        let bytes = &NOT_NUMBERS[..bias.data().len()];
        let view = TensorView::new(bias.dtype(), bias.shape().to_vec(), bytes).unwrap();
        tensors.insert("proj_out.bias".to_owned(), view);
    });
    let mut pipeline = WanPipeline::load(model.path(), &one_thread()).unwrap();
    let request = request(&pipeline, Sampler::UniPc);
    for _ in 0..2 {
        match pipeline.render(&request, None, &mut Recorder::default()) {
            Err(GenerateError::NotFinite { step }) => assert_eq!(step, 1),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused_and_the_clip_begins_anew() {
    let mut pipeline = pipeline();
    let request = request(&pipeline, Sampler::UniPc);
    let mut keeper = Keeper::default();
    let whole = pipeline.render(&request, None, &mut keeper).unwrap();
    let good = keeper.checkpoints.pop().unwrap().bytes;
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    let other = GenerateRequest {
        seed: 6,
        ..request.clone()
    };
    let cases = [
        (&request, &flipped[..]),
        (&request, &good[..good.len() - 1]),
        (&request, &b"not a checkpoint"[..]),
        (&request, &[][..]),
        (&other, &good[..]),
    ];
    for (request, checkpoint) in cases {
        let mut keeper = Keeper::default();
        let rendering = pipeline.render(request, Some(checkpoint), &mut keeper);
        let rendering = rendering.unwrap();
        assert_eq!((rendering.resumed_step, keeper.refusals.len()), (0, 1));
        if request.seed == 5 {
            assert_eq!(rendering.clip, whole.clip);
        }
    }
}

#[test]
fn the_same_request_gives_the_same_bytes_after_other_clips_and_in_another_pipeline() {
    let mut first = pipeline();
    let request = request(&first, Sampler::UniPc);
    let expected = first
        .render(&request, None, &mut Keeper::default())
        .unwrap();
    let other = GenerateRequest {
        prompt: "a blue square".to_owned(),
        width: 64,
        frames: 5,
        ..request.clone()
    };
    first
        .render(&other, None, &mut Recorder::default())
        .unwrap();
    for mut pipeline in [first, pipeline()] {
        let again = pipeline.render(&request, None, &mut Recorder::default());
        let again = again.unwrap();
        assert_eq!(again.latents_sha256, expected.latents_sha256);
        assert_eq!(again.clip, expected.clip);
    }
}

#[test]
fn previews_resemble_the_clip() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../../models/kinora-tiny-t2v");
    let mut pipeline = WanPipeline::load(&folder, &one_thread()).unwrap();
    let prompt = "a red circle moves right on a black background";
    let request = GenerateRequest::with_defaults(pipeline.card(), prompt, 1);
    let mut keeper = Keeper::default();
    let clip = pipeline.render(&request, None, &mut keeper).unwrap().clip;
    assert_eq!(keeper.previews.len(), request.steps as usize - 1);
    let preview = keeper.previews.pop().unwrap();
    assert_eq!(
        (preview.width, preview.height),
        (clip.width / 8, clip.height / 8)
    );
    let middle = clip.rgb.len() / clip.frames as usize * (clip.frames as usize / 2);
    let expected = shrunk(
        &clip.rgb[middle..],
        clip.width as usize,
        clip.height as usize,
    );
    let likeness = correlation(&preview.rgb, &expected);
    println!("correlation of preview and frame: {likeness:.3}");
    assert!(likeness > 0.7, "{likeness}");
}

/// Means of blocks of 8 by 8 pixels.
fn shrunk(frame: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut small = Vec::new();
    for (row, column) in (0..height / 8).flat_map(|y| (0..width / 8).map(move |x| (y * 8, x * 8))) {
        for colour in 0..3 {
            let pixels = (0..64).map(|at| ((row + at / 8) * width + column + at % 8) * 3 + colour);
            let sum: usize = pixels.map(|at| usize::from(frame[at])).sum();
            small.push(u8::try_from(sum / 64).unwrap());
        }
    }
    small
}

fn correlation(left: &[u8], right: &[u8]) -> f64 {
    assert_eq!(left.len(), right.len());
    let mean =
        |values: &[u8]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let (left_mean, right_mean) = (mean(left), mean(right));
    let pairs = left.iter().zip(right);
    let (mut both, mut own, mut other) = (0.0, 0.0, 0.0);
    for (&a, &b) in pairs {
        let (a, b) = (f64::from(a) - left_mean, f64::from(b) - right_mean);
        both += a * b;
        own += a * a;
        other += b * b;
    }
    both / (own * other).sqrt()
}
