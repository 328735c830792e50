//! Ground truth: shapes from signed distances, `coverage = clamp(0.5 - distance, 0, 1)`, edges one pixel wide.

use std::f64::consts::{FRAC_PI_2, PI};

use super::{FRAMES, Motion, SIZE, Scene, Shape};

const SQUARE_HALF_SIDE: f64 = 0.9;
const TRIANGLE_INRADIUS: f64 = 0.62;
const STAR_OUTER: f64 = 1.35;
const STAR_INNER_RATIO: f64 = 0.42;

/// Where a shape is in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// Horizontal centre in pixels from the left.
    pub x: f64,
    /// Vertical centre in pixels from the top.
    pub y: f64,
    /// Size in pixels; a circle's radius.
    pub radius: f64,
    /// Angle in radians, clockwise on screen.
    pub angle: f64,
}

/// Where a shape is in every frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Path(pub Vec<Pose>);

impl Path {
    /// Draws a placement of `motion` from `seed`; the same seed gives the same path.
    pub fn from_seed(motion: Motion, seed: u64) -> Self {
        let mut draw = Draw(seed);
        let rest = Pose {
            x: draw.between(28.0, 36.0),
            y: draw.between(28.0, 36.0),
            radius: draw.between(12.0, 14.5),
            angle: 0.0,
        };
        let (from, to) = match motion {
            Motion::Grows | Motion::Shrinks => (draw.between(6.0, 7.0), draw.between(14.0, 15.5)),
            _ => (draw.between(18.0, 21.0), draw.between(43.0, 46.0)),
        };
        let slim = draw.between(11.0, 13.0);
        let steps = (0..FRAMES).map(|frame| frame as f64 / (FRAMES - 1) as f64);
        Self(
            steps
                .map(|step| pose_at(motion, rest, (from, to), slim, step))
                .collect(),
        )
    }
}

/// The pose at `step` (0..1) of a motion whose changing quantity goes over `range`.
fn pose_at(motion: Motion, rest: Pose, range: (f64, f64), slim: f64, step: f64) -> Pose {
    let along = |step: f64| range.0 + (range.1 - range.0) * step;
    match motion {
        Motion::Right => Pose {
            x: along(step),
            radius: slim,
            ..rest
        },
        Motion::Left => Pose {
            x: along(1.0 - step),
            radius: slim,
            ..rest
        },
        Motion::Down => Pose {
            y: along(step),
            radius: slim,
            ..rest
        },
        Motion::Up => Pose {
            y: along(1.0 - step),
            radius: slim,
            ..rest
        },
        Motion::Grows => Pose {
            radius: along(step),
            ..rest
        },
        Motion::Shrinks => Pose {
            radius: along(1.0 - step),
            ..rest
        },
        Motion::Spins => Pose {
            angle: step * FRAC_PI_2,
            ..rest
        },
        Motion::Still => rest,
    }
}

/// SplitMix64: small, seeded, and good enough to scatter test clips.
struct Draw(u64);

impl Draw {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        low + (high - low) * (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Coverage of a `width` x `height` frame by a shape, row by row, 0..1.
pub fn coverage(shape: Shape, pose: Pose, width: usize, height: usize) -> Vec<f64> {
    let (sin, cos) = pose.angle.sin_cos();
    let mut out = Vec::with_capacity(width * height);
    for row in 0..height {
        for column in 0..width {
            let (dx, dy) = (column as f64 + 0.5 - pose.x, row as f64 + 0.5 - pose.y);
            let (px, py) = (cos * dx + sin * dy, cos * dy - sin * dx);
            out.push((0.5 - distance(shape, px, py, pose.radius)).clamp(0.0, 1.0));
        }
    }
    out
}

/// Signed distance (negative inside) in the shape's own upright frame.
fn distance(shape: Shape, px: f64, py: f64, radius: f64) -> f64 {
    match shape {
        Shape::Circle => px.hypot(py) - radius,
        Shape::Square => px.abs().max(py.abs()) - SQUARE_HALF_SIDE * radius,
        Shape::Triangle => {
            (0.75_f64.sqrt() * px.abs() - 0.5 * py).max(py) - TRIANGLE_INRADIUS * radius
        }
        Shape::Star => star_distance(px, py, radius),
    }
}

/// Signed distance to the edge lines of the star, folded into one half of one point.
fn star_distance(px: f64, py: f64, radius: f64) -> f64 {
    let wedge = PI / 5.0;
    let folded = ((px.atan2(-py) + wedge).rem_euclid(2.0 * wedge) - wedge).abs();
    let length = px.hypot(py);
    let (qx, qy) = (length * folded.cos(), length * folded.sin());
    let (inner_x, inner_y) = (
        STAR_INNER_RATIO * wedge.cos(),
        STAR_INNER_RATIO * wedge.sin(),
    );
    let norm = (1.0 - inner_x).hypot(inner_y);
    ((qx - STAR_OUTER * radius) * inner_y + qy * (1.0 - inner_x)) / norm
}

/// Renders a scene as rgb24 frames of `SIZE` x `SIZE`, one after the other.
pub fn render(scene: Scene, path: &Path) -> Vec<u8> {
    let (ink, paper) = (scene.colour.rgb(), scene.background.rgb());
    let mut out = Vec::with_capacity(path.0.len() * SIZE * SIZE * 3);
    for &pose in &path.0 {
        for alpha in coverage(scene.shape, pose, SIZE, SIZE) {
            out.extend(
                (0..3)
                    .map(|channel| byte(paper[channel] + (ink[channel] - paper[channel]) * alpha)),
            );
        }
    }
    out
}

/// Rounds a level to a byte.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..255 first"
)]
fn byte(level: f64) -> u8 {
    level.round().clamp(0.0, 255.0) as u8
}
