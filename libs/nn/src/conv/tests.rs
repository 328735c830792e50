use tch::{Device, Kind};

use super::*;

const OPTIONS: (Kind, Device) = (Kind::Float, Device::Cpu);

/// The layer, and the weight a convolution in three dimensions would have.
fn layer(inputs: i64, outputs: i64, kernel_frames: i64, kernel: i64) -> (CausalConv3d, Tensor) {
    let folder = tempfile::TempDir::new().unwrap();
    let weight = Tensor::randn([outputs, inputs, kernel_frames, kernel, kernel], OPTIONS);
    let bias = Tensor::randn([outputs], OPTIONS);
    let tensors = [("weight", &weight), ("bias", &bias)];
    Tensor::write_safetensors(&tensors, folder.path().join("layer.safetensors")).unwrap();
    let weights = Weights::open(folder.path(), "layer", Device::Cpu, Kind::Float).unwrap();
    (
        CausalConv3d::load(&weights, inputs, outputs, kernel_frames, kernel).unwrap(),
        weight,
    )
}

/// A convolution in three dimensions over frames with two frames of zeros before them.
fn reference(input: &Tensor, weight: &Tensor, bias: &Tensor, padding: i64) -> Tensor {
    let volume = input.transpose(0, 1).unsqueeze(0); // [1, c, f, h, w]
    let volume = volume.constant_pad_nd([0, 0, 0, 0, weight.size()[2] - 1, 0]);
    let padding = [0, padding, padding];
    let output = volume.conv3d(weight, Some(bias), [1, 1, 1], padding, [1, 1, 1], 1);
    output.squeeze_dim(0).transpose(0, 1)
}

fn check(kernel_frames: i64, kernel: i64, chunks: &[i64]) {
    tch::manual_seed(1);
    let (layer, weight) = layer(3, 5, kernel_frames, kernel);
    let input = Tensor::randn([chunks.iter().sum(), 3, 6, 7], OPTIONS);
    let mut cache = FeatureCache::default();
    let mut outputs = Vec::new();
    let mut start = 0;
    for &count in chunks {
        cache.begin_chunk();
        outputs.push(layer.forward(&channels_last(&input.narrow(0, start, count)), &mut cache));
        start += count;
    }
    let found = Tensor::cat(&outputs, 0);
    let expected = reference(&input, &weight, &layer.bias, layer.padding);
    assert!(
        found.allclose(&expected, 1e-4, 1e-5, false),
        "chunks {chunks:?}"
    );
}

#[test]
fn chunks_equal_a_convolution_in_three_dimensions() {
    for chunks in [
        [6, 0].as_slice(),
        &[1, 5],
        &[1, 1, 4],
        &[2, 3, 1],
        &[1, 1, 1, 1, 1, 1],
    ] {
        let chunks: Vec<i64> = chunks.iter().copied().filter(|&count| count > 0).collect();
        check(3, 3, &chunks);
        check(3, 1, &chunks);
        check(1, 1, &chunks);
    }
}

#[test]
fn a_stride_keeps_every_second_frame() {
    let (layer, _) = layer(2, 2, 3, 1);
    let frames = channels_last(&Tensor::randn([7, 2, 4, 4], OPTIONS));
    let every = layer.forward_exact(&frames);
    let second = layer.with_frame_stride(2).forward_exact(&frames);
    assert!(second.allclose(&every.slice(0, 0, 5, 2), 1e-5, 1e-6, false));
}
