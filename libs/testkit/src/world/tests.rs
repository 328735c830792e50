//! The checker against rendered ground truth, and against clips that show nothing it may name.

use super::*;

fn observe(bytes: &[u8]) -> Observation {
    check(bytes, SIZE, SIZE, FRAMES)
}

fn clip(shape: Shape, motion: Motion, seed: u64) -> (Scene, Vec<u8>) {
    let pick = |count: usize, step: u64| usize::try_from(seed / step).unwrap_or(0) % count;
    let colour = Colour::ALL[pick(Colour::ALL.len(), 1)];
    let background = Background::ALL[pick(Background::ALL.len(), 3)];
    let scene = Scene {
        shape,
        colour,
        background,
        motion,
    };
    (scene, render(scene, &Path::from_seed(motion, seed)))
}

fn seen_of(scene: Scene) -> Observation {
    Observation {
        background: Some(scene.background),
        colour: Some(scene.colour),
        motion: Some(scene.motion),
        shape: Some(scene.shape),
    }
}

#[test]
fn every_rendered_clip_is_read_right() {
    let mut checked = 0;
    for (index, (shape, motion)) in Scene::pairs().into_iter().enumerate() {
        for turn in 0..5 {
            let (scene, bytes) = clip(shape, motion, index as u64 * 5 + turn * 7);
            assert_eq!(observe(&bytes), seen_of(scene), "clip {turn} of {scene:?}");
            checked += 1;
        }
    }
    assert!(checked >= 150, "only {checked} clips");
}

#[test]
fn all_colours_are_told_apart_on_all_backgrounds() {
    for &colour in Colour::ALL {
        for &background in Background::ALL {
            let scene = Scene {
                shape: Shape::Circle,
                colour,
                background,
                motion: Motion::Still,
            };
            assert_eq!(
                observe(&render(scene, &Path::from_seed(Motion::Still, 3))),
                seen_of(scene)
            );
        }
    }
}

#[test]
fn an_empty_clip_shows_only_its_background() {
    let bytes = vec![110; SIZE * SIZE * FRAMES * 3];
    let seen = observe(&bytes);
    assert_eq!(seen.background, Some(Background::Gray));
    assert_eq!((seen.colour, seen.motion, seen.shape), (None, None, None));
}

#[test]
fn a_flickering_blob_is_neither_still_nor_spinning() {
    let (_, star) = clip(Shape::Star, Motion::Still, 4);
    let (_, circle) = clip(Shape::Circle, Motion::Still, 4);
    let frame = SIZE * SIZE * 3;
    let mixed = (0..FRAMES).flat_map(|f| {
        let source = if f % 2 == 0 { &star } else { &circle };
        source[f * frame..(f + 1) * frame].iter().copied()
    });
    assert_eq!(observe(&mixed.collect::<Vec<u8>>()).motion, None);
}

#[test]
fn a_turning_circle_is_still() {
    let scene = Scene {
        shape: Shape::Circle,
        colour: Colour::Red,
        background: Background::White,
        motion: Motion::Spins,
    };
    assert_eq!(
        observe(&render(scene, &Path::from_seed(Motion::Spins, 5))).motion,
        Some(Motion::Still)
    );
}

#[test]
fn half_a_square_is_no_shape() {
    let (_, mut bytes) = clip(Shape::Square, Motion::Still, 0);
    let paper = [bytes[0], bytes[1], bytes[2]];
    for (index, pixel) in bytes.chunks_exact_mut(3).enumerate() {
        if (index / SIZE) % SIZE < SIZE / 2 {
            pixel.copy_from_slice(&paper);
        }
    }
    assert_eq!(observe(&bytes).shape, None);
}

#[test]
fn a_clip_of_the_wrong_length_shows_nothing() {
    let seen = check(&[0; 100], SIZE, SIZE, FRAMES);
    assert_eq!(
        seen,
        Observation {
            background: None,
            colour: None,
            motion: None,
            shape: None
        }
    );
}

#[test]
fn words_name_their_values() {
    assert!(
        Motion::ALL
            .iter()
            .all(|&motion| Motion::from_word(motion.word()) == Some(motion))
    );
    assert_eq!(Colour::from_word("mauve"), None);
}
