//! Squares of pixels as channels: the 2.2 layout works on frames of half the size.

use tch::Tensor;

/// Moves every square of `side` by `side` pixels into the channels, ordered by colour, column and
/// row. The result has its channels last in memory, also when `side` is 1.
///
/// # Shapes
/// `[f, c, h, w]` to `[f, c * side * side, h / side, w / side]`
pub(super) fn patchify(frames: &Tensor, side: i64) -> Tensor {
    let (count, colours, height, width) = frames.size4().unwrap_or_default();
    let (height, width) = (height / side, width / side);
    frames
        .reshape([count, colours, height, side, width, side])
        .permute([0, 2, 4, 1, 5, 3]) // [f, h, w, c, column, row]
        .contiguous()
        .reshape([count, height, width, colours * side * side])
        .permute([0, 3, 1, 2])
}

/// The inverse of [`patchify`].
///
/// # Shapes
/// `[f, c * side * side, h, w]` to `[f, c, h * side, w * side]`
pub(super) fn unpatchify(patches: &Tensor, side: i64) -> Tensor {
    let (count, channels, height, width) = patches.size4().unwrap_or_default();
    let colours = channels / (side * side);
    patches
        .permute([0, 2, 3, 1])
        .reshape([count, height, width, colours, side, side])
        .permute([0, 1, 5, 2, 4, 3]) // [f, h, row, w, column, c]
        .reshape([count, height * side, width * side, colours])
        .permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn columns_come_before_rows() {
        let pixels = Tensor::from_slice(&[0.0, 1.0, 2.0, 3.0]).view([1, 1, 2, 2]);
        let channels = Vec::<f64>::try_from(patchify(&pixels, 2).flatten(0, -1)).unwrap();
        assert_eq!(channels, [0.0, 2.0, 1.0, 3.0]);
    }

    #[test]
    fn unpatchify_undoes_patchify() {
        let frames = Tensor::arange(2 * 3 * 12 * 24, (Kind::Float, Device::Cpu));
        let frames = frames.view([2, 3, 12, 24]);
        for side in [1, 2, 3, 4] {
            let patches = patchify(&frames, side);
            assert_eq!(patches.size(), [2, 3 * side * side, 12 / side, 24 / side]);
            assert_eq!(unpatchify(&patches, side), frames);
        }
    }
}
