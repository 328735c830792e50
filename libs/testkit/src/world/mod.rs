//! The small world: one coloured shape, one motion, one plain background, rendered and read back.
//!
//! `render` makes ground truth from signed distances; `check` reads the four attributes from finished frames. The tools
//! that train `kinora-tiny-t2v` hold the same two halves in Python; a change here belongs there too.

mod blob;
mod check;
mod render;
#[cfg(test)]
mod tests;

pub use check::{Observation, check};
pub use render::{Path, Pose, coverage, render};

/// Width and height of a clip in pixels.
pub const SIZE: usize = 64;
/// Frames of a clip.
pub const FRAMES: usize = 17;

/// A plane shape; none looks like another when turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square, upright unless turned.
    Square,
    /// An equilateral triangle with one corner up.
    Triangle,
    /// A five-pointed star with one point up.
    Star,
}

/// The colour of the shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Colour {
    Red,
    Green,
    Blue,
    Yellow,
    Purple,
    Cyan,
    Orange,
    Pink,
}

/// The plain background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Background {
    Black,
    Gray,
    White,
}

/// What the shape does over the clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Motion {
    /// Moves right.
    Right,
    /// Moves left.
    Left,
    /// Moves up.
    Up,
    /// Moves down.
    Down,
    /// Becomes larger in place.
    Grows,
    /// Becomes smaller in place.
    Shrinks,
    /// Turns a quarter in place; a circle never does.
    Spins,
    /// Does nothing.
    Still,
}

/// What a clip shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scene {
    /// The shape.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// What it stands on.
    pub background: Background,
    /// What it does.
    pub motion: Motion,
}

/// Gives an enum its list of values and their words, both ways.
macro_rules! words {
    ($kind:ident { $($value:ident = $word:literal),+ $(,)? }) => {
        impl $kind {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The word that captions and the held-out list use.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }

            /// The value that `word` names.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }
    };
}

words!(Shape { Circle = "circle", Square = "square", Triangle = "triangle", Star = "star" });
words!(Colour {
    Red = "red",
    Green = "green",
    Blue = "blue",
    Yellow = "yellow",
    Purple = "purple",
    Cyan = "cyan",
    Orange = "orange",
    Pink = "pink",
});
words!(Background { Black = "black", Gray = "gray", White = "white" });
words!(Motion {
    Right = "right",
    Left = "left",
    Up = "up",
    Down = "down",
    Grows = "grows",
    Shrinks = "shrinks",
    Spins = "spins",
    Still = "still",
});

impl Colour {
    /// Red, green and blue, 0..255.
    pub fn rgb(self) -> [f64; 3] {
        match self {
            Self::Red => [230.0, 40.0, 40.0],
            Self::Green => [40.0, 190.0, 60.0],
            Self::Blue => [50.0, 90.0, 240.0],
            Self::Yellow => [240.0, 220.0, 50.0],
            Self::Purple => [150.0, 60.0, 210.0],
            Self::Cyan => [50.0, 210.0, 220.0],
            Self::Orange => [250.0, 140.0, 30.0],
            Self::Pink => [250.0, 130.0, 190.0],
        }
    }
}

impl Background {
    /// Red, green and blue, 0..255.
    pub fn rgb(self) -> [f64; 3] {
        let level = match self {
            Self::Black => 8.0,
            Self::Gray => 110.0,
            Self::White => 245.0,
        };
        [level; 3]
    }
}

impl Scene {
    /// Every shape with every motion it can show: a spinning circle would look still.
    pub fn pairs() -> Vec<(Shape, Motion)> {
        let all = Shape::ALL
            .iter()
            .flat_map(|&shape| Motion::ALL.iter().map(move |&motion| (shape, motion)));
        all.filter(|&pair| pair != (Shape::Circle, Motion::Spins))
            .collect()
    }
}
