//! What both layouts of the video autoencoder promise, whatever their weights are.

use crate::goldens::vae;
use crate::support::{check_close, goldens, never, relative_difference};
use kinora_models::wan::{Cancelled, WanVae};
use tch::{Device, Kind, Tensor};

/// A network of each layout with its latent channels and its stride in pixels.
fn networks() -> [(WanVae, i64, i64); 2] {
    [
        (vae(&goldens().join("vae-3")), 16, 8),
        (vae(&goldens().join("vae22-growing")), 8, 16),
    ]
}

/// Waves that differ from frame to frame.
fn frames(count: i64, height: i64, width: i64) -> Tensor {
    let shape = [count, 3, height, width];
    let numbers = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu));
    (numbers * 0.37).sin().view(shape)
}

#[test]
fn latents_have_one_frame_and_one_more_for_every_four() {
    for (network, channels, stride) in networks() {
        for (count, latent_frames) in [(1, 1), (5, 2), (13, 4)] {
            let clip = frames(count, 2 * stride, 3 * stride);
            let latents = network.encode(&clip, &never).unwrap();
            assert_eq!(latents.size(), [1, channels, latent_frames, 2, 3]);
            let decoded = network.decode(&latents, &never).unwrap();
            assert_eq!(decoded.size(), clip.size());
        }
    }
}

#[test]
fn the_start_of_a_clip_is_encoded_without_its_end() {
    for (network, _, stride) in networks() {
        let clip = frames(13, stride, 2 * stride);
        let whole = network.encode(&clip, &never).unwrap();
        let start = network.encode(&clip.narrow(0, 0, 5), &never).unwrap();
        check_close("start", &start, &whole.narrow(2, 0, 2));
        let rest = relative_difference(&whole.narrow(2, 1, 1), &whole.narrow(2, 2, 1));
        assert!(rest > 1e-3, "the frames of the test are too alike: {rest}");
    }
}

#[test]
fn the_start_of_a_clip_is_decoded_without_its_end() {
    for (network, channels, _) in networks() {
        let latents = frames(4, 2, channels).view([1, channels, 4, 2, 3]);
        let whole = network.decode(&latents, &never).unwrap();
        let start = network.decode(&latents.narrow(2, 0, 2), &never).unwrap();
        check_close("start", &start, &whole.narrow(0, 0, 5));
    }
}

#[test]
fn the_layout_of_frames_in_memory_does_not_matter() {
    for (network, _, stride) in networks() {
        let clip = frames(5, stride, stride);
        let channels_last = kinora_nn::channels_last(&clip);
        let expected = network.encode(&clip, &never).unwrap();
        let found = network.encode(&channels_last, &never).unwrap();
        check_close("channels last", &found, &expected);
    }
}

#[test]
fn cancelling_ends_either_direction() {
    for (network, channels, stride) in networks() {
        let always = || true;
        let clip = frames(5, stride, stride);
        assert_eq!(network.encode(&clip, &always).unwrap_err(), Cancelled);
        let latents = Tensor::zeros([1, channels, 2, 1, 1], (Kind::Float, Device::Cpu));
        assert_eq!(network.decode(&latents, &always).unwrap_err(), Cancelled);
    }
}
