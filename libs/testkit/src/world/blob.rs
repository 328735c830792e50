//! One frame's coverage and what its moments say: area, centre, angle, overlap with a shape.

use std::f64::consts::{FRAC_PI_4, PI};

use super::{
    Shape,
    render::{Pose, coverage},
};

/// Coverage of one frame, with its area and centre in pixels.
pub(super) struct Blob {
    pub mask: Vec<f64>,
    pub width: usize,
    pub area: f64,
    pub x: f64,
    pub y: f64,
}

impl Blob {
    /// Measures a coverage mask of rows of `width`.
    pub fn new(mask: Vec<f64>, width: usize) -> Self {
        let area: f64 = mask.iter().sum();
        let weight = area.max(1e-6);
        let (mut x, mut y) = (0.0, 0.0);
        for (index, value) in mask.iter().enumerate() {
            let (px, py) = centre_of(index, width);
            x += value * px / weight;
            y += value * py / weight;
        }
        Self {
            mask,
            width,
            area,
            x,
            y,
        }
    }

    /// Angle of the blob if it were `shape`; zero when upright, clockwise positive, known up to the shape's symmetry.
    pub fn angle(&self, shape: Shape) -> f64 {
        // A square's corners, which the harmonic finds, are at 45 degrees when it is upright.
        let upright = if shape == Shape::Square {
            FRAC_PI_4
        } else {
            0.0
        };
        self.harmonic(shape).1 / folds(shape) - upright
    }

    /// How strongly the blob has the corners of `shape`, 0..1.
    pub fn corners(&self, shape: Shape) -> f64 {
        self.harmonic(shape).0
    }

    /// Size and angle of the harmonic with as many folds as `shape` has corners; the angle is zero with a corner up.
    fn harmonic(&self, shape: Shape) -> (f64, f64) {
        let (mut across, mut along, mut total) = (0.0, 0.0, 0.0);
        for (index, value) in self
            .mask
            .iter()
            .enumerate()
            .filter(|(_, value)| **value > 0.0)
        {
            let (px, py) = centre_of(index, self.width);
            let (dx, dy) = (px - self.x, py - self.y);
            let weight = value * (dx * dx + dy * dy);
            let turn = folds(shape) * dx.atan2(-dy);
            across += weight * turn.sin();
            along += weight * turn.cos();
            total += weight;
        }
        (
            across.hypot(along) / f64::max(total, 1e-6),
            across.atan2(along),
        )
    }

    /// Intersection over union with `shape` of the same area, centre and angle.
    pub fn overlap(&self, shape: Shape) -> f64 {
        let angle = if shape == Shape::Circle {
            0.0
        } else {
            self.angle(shape)
        };
        let radius = (self.area / unit_area(shape)).sqrt();
        let pose = Pose {
            x: self.x,
            y: self.y,
            radius,
            angle,
        };
        intersection_over_union(
            &self.mask,
            &coverage(shape, pose, self.width, self.mask.len() / self.width),
        )
    }
}

/// Soft intersection over union of two masks of one size.
pub(super) fn intersection_over_union(left: &[f64], right: &[f64]) -> f64 {
    let both = left.iter().zip(right);
    let (shared, whole) = both.fold((0.0, 0.0), |(shared, whole), (a, b)| {
        (shared + a.min(*b), whole + a.max(*b))
    });
    shared / whole.max(1e-6)
}

/// How often a shape looks the same in one full turn; a circle has no angle, one is a placeholder.
pub(super) fn folds(shape: Shape) -> f64 {
    match shape {
        Shape::Circle => 1.0,
        Shape::Triangle => 3.0,
        Shape::Square => 4.0,
        Shape::Star => 5.0,
    }
}

/// Area of a shape of radius one.
fn unit_area(shape: Shape) -> f64 {
    match shape {
        Shape::Circle => PI,
        Shape::Square => 3.24,
        Shape::Triangle => 1.9975,
        Shape::Star => 2.2492,
    }
}

/// Centre of the pixel at `index` in rows of `width`.
fn centre_of(index: usize, width: usize) -> (f64, f64) {
    ((index % width) as f64 + 0.5, (index / width) as f64 + 0.5)
}
