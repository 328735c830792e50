//! Reads background, colour, motion and shape back from finished frames.
//!
//! The border gives the background; the most different pixels give the colour; projecting every pixel on the line
//! between the two gives the coverage; its moments over time give motion and angle; its symmetry (three, four or five
//! corners, or none) names the shape, and the overlap with that shape must agree. What does not fit is `None`, never the
//! nearest guess.

use std::f64::consts::TAU;

use super::{
    Background, Colour, Motion, Shape,
    blob::{Blob, folds, intersection_over_union},
};

/// Farthest that a measured colour may be from its name, as a distance in rgb levels.
const COLOUR_LIMIT: f64 = 60.0;
/// Least distance between shape and background for a clip to show anything.
const LEAST_CONTRAST: f64 = 40.0;
/// Least strength of the corners' harmonic; ideal shapes have 0.29, 0.55 and 0.63.
const LEAST_CORNERS: [(Shape, f64); 3] = [
    (Shape::Square, 0.13),
    (Shape::Triangle, 0.30),
    (Shape::Star, 0.25),
];
/// A circle has less of every harmonic.
const CORNERS_OF_CIRCLE: f64 = 0.11;
/// How much stronger the leading harmonic must be than the next.
const CORNER_LEAD: f64 = 1.25;
/// Area in pixels below which a blob is too small to tell its shape, and to be there at all.
const LEAST_CLEAR_AREA: f64 = 60.0;
const LEAST_AREA: f64 = 25.0;

/// What a clip was seen to show; `None` where nothing fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// The background.
    pub background: Option<Background>,
    /// The colour of the shape.
    pub colour: Option<Colour>,
    /// What the shape does.
    pub motion: Option<Motion>,
    /// The shape.
    pub shape: Option<Shape>,
}

/// Observes `frames` frames of rgb24, `width` x `height` each, one after the other in `bytes`.
///
/// A clip whose bytes do not fill exactly those frames is seen to show nothing.
pub fn check(bytes: &[u8], width: usize, height: usize, frames: usize) -> Observation {
    let nothing = Observation {
        background: None,
        colour: None,
        motion: None,
        shape: None,
    };
    if bytes.is_empty() || bytes.len() != width * height * frames * 3 || width < 8 || height < 8 {
        return nothing;
    }
    let pixels: Vec<[f64; 3]> = bytes
        .chunks_exact(3)
        .map(|p| [p[0], p[1], p[2]].map(f64::from))
        .collect();
    let paper = border(&pixels, width, height);
    let background = nearest(Background::ALL, Background::rgb, paper);
    let (ink, contrast) = ink(&pixels, paper);
    if contrast < LEAST_CONTRAST {
        return Observation {
            background,
            ..nothing
        };
    }
    let blobs = blobs(&pixels, paper, ink, width, width * height);
    let shape = read_shape(&blobs);
    let motion = read_motion(&blobs, shape);
    Observation {
        background,
        colour: nearest(Colour::ALL, Colour::rgb, ink),
        motion,
        shape,
    }
}

/// Median colour of the outermost two pixels of all frames.
fn border(pixels: &[[f64; 3]], width: usize, height: usize) -> [f64; 3] {
    let outer = |index: usize| {
        let (x, y) = (index % width, index / width % height);
        x < 2 || y < 2 || x >= width - 2 || y >= height - 2
    };
    let ring: Vec<[f64; 3]> = pixels
        .iter()
        .enumerate()
        .filter(|(index, _)| outer(*index))
        .map(|(_, p)| *p)
        .collect();
    median(&ring)
}

/// Median colour of the pixels that differ from `paper` at least 0.7 times as much as the strongest do, and how much
/// the strongest do.
fn ink(pixels: &[[f64; 3]], paper: [f64; 3]) -> ([f64; 3], f64) {
    let gaps: Vec<f64> = pixels.iter().map(|pixel| gap(*pixel, paper)).collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let strongest = sorted[(sorted.len() - 1) * 99 / 100];
    let strong: Vec<[f64; 3]> = pixels
        .iter()
        .zip(&gaps)
        .filter(|(_, g)| **g >= 0.7 * strongest)
        .map(|(p, _)| *p)
        .collect();
    (median(&strong), strongest)
}

/// Median of each channel.
fn median(pixels: &[[f64; 3]]) -> [f64; 3] {
    [0, 1, 2].map(|channel| {
        let mut levels: Vec<f64> = pixels.iter().map(|pixel| pixel[channel]).collect();
        levels.sort_by(f64::total_cmp);
        levels[levels.len() / 2]
    })
}

/// Distance of two colours.
fn gap(left: [f64; 3], right: [f64; 3]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// The named colour nearest to `seen`, if it is near enough.
fn nearest<T: Copy>(all: &[T], rgb: fn(T) -> [f64; 3], seen: [f64; 3]) -> Option<T> {
    let best = all
        .iter()
        .copied()
        .min_by(|a, b| gap(rgb(*a), seen).total_cmp(&gap(rgb(*b), seen)))?;
    (gap(rgb(best), seen) <= COLOUR_LIMIT).then_some(best)
}

/// Coverage of every frame: where its pixels lie on the line from `paper` to `ink`.
fn blobs(
    pixels: &[[f64; 3]],
    paper: [f64; 3],
    ink: [f64; 3],
    width: usize,
    frame: usize,
) -> Vec<Blob> {
    let line = [0, 1, 2].map(|channel| ink[channel] - paper[channel]);
    let length: f64 = line.iter().map(|part| part * part).sum();
    let alpha = |pixel: &[f64; 3]| {
        let along: f64 = (0..3)
            .map(|channel| (pixel[channel] - paper[channel]) * line[channel])
            .sum();
        let share = (along / length).clamp(0.0, 1.0);
        if share < 0.2 { 0.0 } else { share }
    };
    pixels
        .chunks_exact(frame)
        .map(|frame| Blob::new(frame.iter().map(alpha).collect(), width))
        .collect()
}

/// Names the shape by its corners over the frames where the blob is large enough to tell, if the overlap agrees.
fn read_shape(blobs: &[Blob]) -> Option<Shape> {
    let top = blobs.iter().map(|blob| blob.area).fold(0.0, f64::max);
    let least = LEAST_CLEAR_AREA.max(0.45 * top);
    let clear: Vec<&Blob> = blobs
        .iter()
        .filter(|blob| blob.area >= least)
        .step_by(2)
        .collect();
    if clear.is_empty() {
        return None;
    }
    let mean = |measure: &dyn Fn(&Blob) -> f64| {
        clear.iter().map(|blob| measure(blob)).sum::<f64>() / clear.len() as f64
    };
    let shape = name_by_corners(
        LEAST_CORNERS.map(|(shape, least)| (shape, least, mean(&|blob| blob.corners(shape)))),
    )?;
    (mean(&|blob| blob.overlap(shape)) >= least_overlap(shape)).then_some(shape)
}

/// Least overlap with the shape that the corners name; narrow points are the first thing that a blurred edge costs.
fn least_overlap(shape: Shape) -> f64 {
    match shape {
        Shape::Circle | Shape::Square => 0.78,
        Shape::Triangle => 0.72,
        Shape::Star => 0.66,
    }
}

/// The shape whose harmonic leads clearly, or a circle where there is none; takes shape, least strength and strength.
fn name_by_corners(mut strengths: [(Shape, f64, f64); 3]) -> Option<Shape> {
    strengths.sort_by(|a, b| b.2.total_cmp(&a.2));
    let [(shape, least, first), (_, _, second), _] = strengths;
    if first < CORNERS_OF_CIRCLE {
        return Some(Shape::Circle);
    }
    (first >= least && first >= CORNER_LEAD * second).then_some(shape)
}

/// Names the motion from centre, area and angle over time.
fn read_motion(blobs: &[Blob], shape: Option<Shape>) -> Option<Motion> {
    if blobs.len() < 3 || blobs.iter().any(|blob| blob.area < LEAST_AREA) {
        return None;
    }
    let dx = change(blobs, |blob| blob.x, |from, to| to - from);
    let dy = change(blobs, |blob| blob.y, |from, to| to - from);
    let growth = 0.5 * change(blobs, |blob| blob.area, |from, to| (to / from).ln());
    let (far, near) = (dx.abs().max(dy.abs()), dx.abs().min(dy.abs()));
    if far > 12.0 && near < 6.0 && growth.abs() < 0.25 {
        return Some(direction(dx, dy));
    }
    if growth.abs() > 0.4 && far < 6.0 {
        return Some(if growth > 0.0 {
            Motion::Grows
        } else {
            Motion::Shrinks
        });
    }
    if far > 4.0 || growth.abs() > 0.15 {
        return None;
    }
    read_rotation(blobs, shape)
}

/// How a measure changes from the first two frames to the last two.
fn change(blobs: &[Blob], measure: fn(&Blob) -> f64, compare: fn(f64, f64) -> f64) -> f64 {
    let mean = |pair: &[Blob]| pair.iter().map(measure).sum::<f64>() / pair.len() as f64;
    compare(mean(&blobs[..2]), mean(&blobs[blobs.len() - 2..]))
}

/// The direction of the larger of two distances.
fn direction(dx: f64, dy: f64) -> Motion {
    match (dx.abs() > dy.abs(), dx > 0.0, dy > 0.0) {
        (true, true, _) => Motion::Right,
        (true, false, _) => Motion::Left,
        (false, _, true) => Motion::Down,
        (false, _, false) => Motion::Up,
    }
}

/// Tells spinning from standing still for a blob that stays where it is; flicker is neither.
fn read_rotation(blobs: &[Blob], shape: Option<Shape>) -> Option<Motion> {
    let turning = shape.filter(|&shape| shape != Shape::Circle);
    let (angle, back) = turning.map_or((0.0, 0.0), |shape| turned(blobs, shape));
    if angle.abs() > 0.87 && back < 0.2 {
        return Some(Motion::Spins);
    }
    (angle.abs() < 0.2 && steadiness(blobs) > 0.80).then_some(Motion::Still)
}

/// Angle in radians that the shape turns through, clockwise positive, and its largest step back.
fn turned(blobs: &[Blob], shape: Shape) -> (f64, f64) {
    let period = TAU / folds(shape);
    let angles: Vec<f64> = blobs.iter().map(|blob| blob.angle(shape)).collect();
    let step = |pair: &[f64]| (pair[1] - pair[0] + period / 2.0).rem_euclid(period) - period / 2.0;
    let steps: Vec<f64> = angles.windows(2).map(step).collect();
    (
        steps.iter().sum(),
        steps.iter().fold(0.0, |back, step| (-step).max(back)),
    )
}

/// Least overlap of a frame with the mean of all frames.
fn steadiness(blobs: &[Blob]) -> f64 {
    let mut mean = vec![0.0; blobs[0].mask.len()];
    for blob in blobs {
        mean.iter_mut()
            .zip(&blob.mask)
            .for_each(|(sum, value)| *sum += value / blobs.len() as f64);
    }
    blobs
        .iter()
        .map(|blob| intersection_over_union(&blob.mask, &mean))
        .fold(1.0, f64::min)
}
