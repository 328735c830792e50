use super::*;
use tch::Device;

/// Numbers from 0, in the order of the shape.
fn counted(shape: [i64; 4]) -> Tensor {
    Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)).reshape(shape)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.contiguous().flatten(0, -1).to_kind(Kind::Double)).unwrap()
}

const HALVES: Factors = Factors {
    outputs: 2,
    frames: 2,
    side: 2,
};

#[test]
fn going_down_averages_runs_of_channel_frame_row_and_column() {
    // Two frames of one channel, 2 by 2: outputs 0 and 1 are the means of the frames.
    let down = Shortcut::Average(HALVES).forward(&counted([2, 1, 2, 2]), false);
    assert_eq!(down.size(), [1, 2, 1, 1]);
    assert_eq!(numbers(&down), [1.5, 5.5]);
}

#[test]
fn going_down_the_first_frame_follows_a_black_one() {
    let down = Shortcut::Average(HALVES).forward(&counted([1, 1, 2, 2]), true);
    assert_eq!(numbers(&down), [0.0, 1.5]);
}

#[test]
fn going_up_spreads_channels_over_frames_rows_and_columns() {
    // Four channels to one: two fill the first frame's rows, two the second's.
    let factors = Factors {
        outputs: 1,
        ..HALVES
    };
    let input = counted([1, 4, 1, 1]);
    let up = Shortcut::Duplicate(factors).forward(&input, false);
    assert_eq!(up.size(), [2, 1, 2, 2]);
    assert_eq!(numbers(&up), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    let first = Shortcut::Duplicate(factors).forward(&input, true);
    assert_eq!(numbers(&first), [2.0, 2.0, 3.0, 3.0]);
}

#[test]
fn going_down_undoes_going_up() {
    let input = counted([3, 4, 2, 5]);
    let up = Shortcut::Duplicate(HALVES).forward(&input, false);
    let back = Factors {
        outputs: 4,
        ..HALVES
    };
    assert_eq!(Shortcut::Average(back).forward(&up, false), input);
}
