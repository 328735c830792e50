//! Large pictures in overlapping tiles, blended linearly where they overlap.
//!
//! Every tile is a clip of its own, decoded in chunks with its own memory of earlier frames. A tile
//! sees less of the picture than the whole decoder would: the attention in the middle of the network
//! and the convolutions at its edges differ, so tiled and whole results agree only roughly. One tile
//! over everything is the whole decoder, to the byte.

use tch::{Kind, Tensor};

use super::{CancelCheck, Cancelled, WanVae};

/// How large tiles are, in latent positions along height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tiling {
    tile: i64,
    overlap: i64,
}

/// A stretch of one axis, in positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: i64,
    length: i64,
}

impl Default for Tiling {
    /// Tiles of 256 pixels every 192 with a stride of 8 pixels per position.
    fn default() -> Self {
        Self {
            tile: 32,
            overlap: 8,
        }
    }
}

impl Tiling {
    /// Tiles of `tile` positions, of which neighbours share `overlap`; `None` unless
    /// `0 <= 3 * overlap <= tile` and `tile > 0`. A third, so that no position is in three tiles.
    #[must_use]
    pub fn new(tile: i64, overlap: i64) -> Option<Self> {
        let is_sound = tile > 0 && overlap >= 0 && overlap.checked_mul(3)? <= tile;
        is_sound.then_some(Self { tile, overlap })
    }

    /// Positions of a tile along each axis, at most.
    #[must_use]
    pub fn tile(self) -> i64 {
        self.tile
    }

    /// Positions that neighbouring tiles share.
    #[must_use]
    pub fn overlap(self) -> i64 {
        self.overlap
    }

    /// The fewest spans that cover an axis, about equal in length, each overlapping the next.
    fn spans(self, positions: i64) -> Vec<Span> {
        if positions <= self.tile {
            let whole = Span {
                start: 0,
                length: positions,
            };
            return vec![whole];
        }
        let shared = self.overlap;
        let count = divide_up(positions - shared, self.tile - shared);
        let step = divide_up(positions - shared, count);
        let span = |index| {
            let start = index * step;
            let length = (step + shared).min(positions - start);
            Span { start, length }
        };
        (0..count).map(span).collect()
    }
}

impl WanVae {
    /// Decodes as [`WanVae::decode`] does, tile by tile.
    ///
    /// Holds the result and one tile. If one tile covers the picture the result is that of
    /// [`WanVae::decode`] exactly.
    ///
    /// # Shapes
    /// `[1, c, f, h, w]` to `[1 + stride_t * (f - 1), 3, stride * h, stride * w]`
    ///
    /// # Errors
    /// [`Cancelled`], polled before every chunk of every tile.
    pub fn decode_tiled(
        &self,
        latents: &Tensor,
        tiling: Tiling,
        is_cancelled: CancelCheck<'_>,
    ) -> Result<Tensor, Cancelled> {
        let [height, width] = [latents.size()[3], latents.size()[4]];
        let (rows, columns) = (tiling.spans(height), tiling.spans(width));
        if rows.len() * columns.len() == 1 {
            return self.decode(latents, is_cancelled);
        }
        let stride = self.spatial_stride;
        let mut canvas = None;
        for (row, row_span) in rows.iter().enumerate() {
            for (column, column_span) in columns.iter().enumerate() {
                let part = cut(latents, [3, 4], [*row_span, *column_span], 1);
                let tile = self.decode(&part, is_cancelled)?; // [f, 3, h, w]
                let canvas = canvas
                    .get_or_insert_with(|| blank(&tile, [2, 3], [height * stride, width * stride]));
                let place = Place {
                    rows: (&rows, row),
                    columns: (&columns, column),
                    overlap: tiling.overlap,
                    stride,
                };
                place.blend(canvas, tile, [2, 3]);
            }
        }
        Ok(canvas.unwrap_or_default())
    }

    /// Encodes as [`WanVae::encode`] does, tile by tile; latents are blended.
    ///
    /// # Shapes
    /// `[f, 3, h, w]`, `f` one more than a multiple of the temporal stride, to `[1, c, f', h', w']`
    ///
    /// # Errors
    /// [`Cancelled`], polled before every chunk of every tile.
    pub fn encode_tiled(
        &self,
        frames: &Tensor,
        tiling: Tiling,
        is_cancelled: CancelCheck<'_>,
    ) -> Result<Tensor, Cancelled> {
        let stride = self.spatial_stride;
        let [height, width] = [frames.size()[2] / stride, frames.size()[3] / stride];
        let (rows, columns) = (tiling.spans(height), tiling.spans(width));
        if rows.len() * columns.len() == 1 {
            return self.encode(frames, is_cancelled);
        }
        let mut canvas = None;
        for (row, row_span) in rows.iter().enumerate() {
            for (column, column_span) in columns.iter().enumerate() {
                let part = cut(frames, [2, 3], [*row_span, *column_span], stride);
                let tile = self.encode(&part, is_cancelled)?; // [1, c, f, h, w]
                let canvas = canvas.get_or_insert_with(|| blank(&tile, [3, 4], [height, width]));
                let place = Place {
                    rows: (&rows, row),
                    columns: (&columns, column),
                    overlap: tiling.overlap,
                    stride: 1,
                };
                place.blend(canvas, tile, [3, 4]);
            }
        }
        Ok(canvas.unwrap_or_default())
    }
}

/// Where a tile goes: the spans of both axes with the tile's number among them.
struct Place<'a> {
    rows: (&'a [Span], usize),
    columns: (&'a [Span], usize),
    overlap: i64,
    /// Positions of the canvas per position of the spans.
    stride: i64,
}

impl Place<'_> {
    /// Adds a tile, weighted so that the weights of all tiles are 1 together everywhere.
    fn blend(&self, canvas: &Tensor, mut tile: Tensor, axes: [i64; 2]) {
        let mut target = canvas.shallow_clone();
        for ((spans, index), axis) in [self.rows, self.columns].into_iter().zip(axes) {
            let span = spans[index];
            let weights = self.weights(index > 0, index + 1 < spans.len(), span.length);
            let mut shape = vec![1; tile.dim()];
            if let Ok(axis) = usize::try_from(axis) {
                shape[axis] = span.length * self.stride;
            }
            tile = tile.g_mul_(&weights.view(shape.as_slice()).to_device(canvas.device()));
            target = target.narrow(axis, span.start * self.stride, span.length * self.stride);
        }
        let _ = target.g_add_(&tile);
    }

    /// The weights along one axis: rising over the overlap with the tile before, falling over that
    /// with the tile after.
    fn weights(&self, has_before: bool, has_after: bool, length: i64) -> Tensor {
        let (total, shared) = (length * self.stride, self.overlap * self.stride);
        let weights = Tensor::ones([total], (Kind::Float, tch::Device::Cpu));
        if shared == 0 {
            return weights;
        }
        let centres = Tensor::arange(shared, (Kind::Float, tch::Device::Cpu)) + 0.5;
        let rising = centres / shared;
        if has_before {
            weights.narrow(0, 0, shared).copy_(&rising);
        }
        if has_after {
            let falling: Tensor = 1.0 - rising;
            weights.narrow(0, total - shared, shared).copy_(&falling);
        }
        weights
    }
}

/// A part of a picture; `stride` is the picture's positions per position of the spans.
fn cut(picture: &Tensor, axes: [i64; 2], spans: [Span; 2], stride: i64) -> Tensor {
    let narrow = |part: Tensor, (axis, span): (i64, Span)| {
        part.narrow(axis, span.start * stride, span.length * stride)
    };
    axes.into_iter()
        .zip(spans)
        .fold(picture.shallow_clone(), narrow)
}

/// Zeros like `tile`, in its memory order, of another height and width.
fn blank(tile: &Tensor, axes: [usize; 2], size: [i64; 2]) -> Tensor {
    let mut shape = tile.size();
    for (axis, length) in axes.into_iter().zip(size) {
        shape[axis] = length;
    }
    Tensor::zeros(shape.as_slice(), (tile.kind(), tile.device()))
}

fn divide_up(value: i64, by: i64) -> i64 {
    (value + by - 1) / by
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_every_axis_and_no_position_is_in_three() {
        for (tile, overlap) in [(1, 0), (3, 1), (8, 2), (9, 3), (32, 8)] {
            let tiling = Tiling::new(tile, overlap).unwrap();
            for positions in 1..200 {
                let spans = tiling.spans(positions);
                let ends: Vec<i64> = spans.iter().map(|span| span.start + span.length).collect();
                assert_eq!((spans[0].start, ends.last()), (0, Some(&positions)));
                assert!(spans.iter().all(|span| span.length <= tile));
                for (index, pair) in spans.windows(2).enumerate() {
                    assert_eq!(
                        ends[index] - pair[1].start,
                        overlap,
                        "{tiling:?} {positions}"
                    );
                }
                for (index, triple) in spans.windows(3).enumerate() {
                    assert!(ends[index] <= triple[2].start, "{tiling:?} {positions}");
                }
            }
        }
    }

    #[test]
    fn weights_of_neighbours_add_up_to_one() {
        let tiling = Tiling::new(9, 3).unwrap();
        let spans = tiling.spans(40);
        let sum = Tensor::zeros([80], (Kind::Float, tch::Device::Cpu));
        for (index, span) in spans.iter().enumerate() {
            let place = Place {
                rows: (&spans, index),
                columns: (&spans, index),
                overlap: 3,
                stride: 2,
            };
            let weights = place.weights(index > 0, index + 1 < spans.len(), span.length);
            let _ = sum
                .narrow(0, span.start * 2, span.length * 2)
                .g_add_(&weights);
        }
        assert!(sum.allclose(&sum.ones_like(), 0.0, 1e-6, false), "{sum:?}");
    }

    #[test]
    fn unsound_tilings_are_refused() {
        for (tile, overlap) in [(0, 0), (-4, 0), (8, -1), (8, 3), (8, i64::MAX)] {
            assert_eq!(Tiling::new(tile, overlap), None);
        }
    }
}
