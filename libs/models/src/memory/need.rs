//! What a model's requests need, in a formula simple enough for a scheduler.

use super::plan::least_bytes;
use super::{ClipSize, MemoryOptions};
use crate::card::ModelCard;
use crate::config::WanConfig;

/// Values of each of width, height and frames at which the estimate is asked.
const STEPS: u32 = 9;
/// Between those values the estimate may rise above the line; tests compare it on a finer grid.
const MARGIN: f64 = 0.03;

/// An upper bound of what requests take: `base_bytes + bytes_per_pixel * width * height * frames`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryNeed {
    /// Weights, and what every clip takes.
    pub base_bytes: u64,
    /// What a pixel of a frame takes.
    pub bytes_per_pixel: f64,
}

/// A clip of the grid: its pixels in all frames, and its estimate in bytes.
type Point = (f64, f64);

impl MemoryNeed {
    /// The line above the estimates of all clips that a card allows, at the leanest of the allowed choices: the edge of
    /// their upper hull that exceeds none of them by a larger share than another edge would.
    #[must_use]
    pub fn above(config: &WanConfig, card: &ModelCard, options: &MemoryOptions) -> Self {
        let limits = &card.limits;
        let multiple = card.size_multiple;
        let widths = axis(limits.min_width, limits.max_width, multiple, 0);
        let heights = axis(limits.min_height, limits.max_height, multiple, 0);
        let lengths = axis(1, limits.max_frames, card.frame_stride, 1);
        let mut points = Vec::new();
        for &width in &widths {
            for &height in &heights {
                for &frames in &lengths {
                    let clip = ClipSize {
                        width,
                        height,
                        frames,
                    };
                    let bytes = least_bytes(config, clip, options);
                    points.push((pixels(clip), bytes as f64));
                }
            }
        }
        let (base, slope) = tightest_line(points);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and memory sizes are far below 2^63"
        )]
        let base_bytes = (base * (1.0 + MARGIN)).ceil() as u64;
        Self {
            base_bytes,
            bytes_per_pixel: slope * (1.0 + MARGIN),
        }
    }

    /// The bound for a clip.
    #[must_use]
    pub fn bytes(&self, clip: ClipSize) -> f64 {
        self.bytes_per_pixel
            .mul_add(pixels(clip), self.base_bytes as f64)
    }
}

fn pixels(clip: ClipSize) -> f64 {
    f64::from(clip.width) * f64::from(clip.height) * f64::from(clip.frames)
}

/// At most [`STEPS`] values from `low` to `high`, all of them multiples of `multiple` plus `offset`, the outermost legal
/// ones included.
fn axis(low: u32, high: u32, multiple: u32, offset: u32) -> Vec<u32> {
    let multiple = multiple.max(1);
    let first = low.saturating_sub(offset).div_ceil(multiple);
    let last = high.saturating_sub(offset) / multiple;
    let count = (last.saturating_sub(first)).clamp(1, STEPS - 1);
    let at = |step: u32| {
        let span = u64::from(last.saturating_sub(first));
        let index = u64::from(first) + span * u64::from(step) / u64::from(count);
        u32::try_from(index * u64::from(multiple) + u64::from(offset)).unwrap_or(u32::MAX)
    };
    let mut values: Vec<u32> = (0..=count).map(at).collect();
    values.dedup();
    values
}

/// Base and slope, neither negative, of a line that is below no point.
fn tightest_line(mut points: Vec<Point>) -> (f64, f64) {
    points.sort_by(|left, right| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
    let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let hull = upper_hull(&points);
    let edges = hull.windows(2).filter_map(|edge| {
        let ((left, low), (right, high)) = (edge[0], edge[1]);
        let slope = (high - low) / (right - left);
        // Right of the highest point the hull falls, and a line through the origin's left would promise too little.
        (slope.is_finite() && slope >= 0.0).then(|| (slope.mul_add(-left, low).max(0.0), slope))
    });
    let excess = |line: &(f64, f64)| {
        let shares = points.iter().map(|(x, y)| line.1.mul_add(*x, line.0) / y);
        shares.fold(0.0, f64::max)
    };
    edges
        .map(|line| (excess(&line), line))
        .min_by(|left, right| left.0.total_cmp(&right.0))
        .map_or((highest, 0.0), |(_, line)| line)
}

/// The corners of the upper hull of sorted points, from left to right.
fn upper_hull(points: &[Point]) -> Vec<Point> {
    let mut hull: Vec<Point> = Vec::new();
    for &point in points {
        while let [.., before, last] = hull[..]
            && !turns_right(before, last, point)
        {
            hull.pop();
        }
        // Of those above each other only the highest, which comes last.
        if hull.last().is_some_and(|last| last.0 >= point.0) {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

fn turns_right(first: Point, second: Point, third: Point) -> bool {
    let rise = (second.0 - first.0) * (third.1 - first.1);
    let run = (second.1 - first.1) * (third.0 - first.0);
    rise < run
}

#[cfg(test)]
mod tests;
