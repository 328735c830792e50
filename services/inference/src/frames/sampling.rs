//! Which frames of a clip are looked at.

use kinora_models::{Clip, Picture};

/// The first frame, the last one, and `samples` more spread evenly, each once, in order.
pub(super) fn spread(frames: u32, samples: u32) -> Vec<u32> {
    let (frames, samples) = (u64::from(frames), u64::from(samples).max(1));
    // The middles of equal stretches.
    let middles = (0..samples).map(|stretch| (2 * stretch + 1) * frames / (2 * samples));
    let ends = [0, frames.saturating_sub(1)];
    let indexes = middles.chain(ends).filter(|&index| index < frames);
    let mut indexes: Vec<u32> = indexes.filter_map(|it| u32::try_from(it).ok()).collect();
    indexes.sort_unstable();
    indexes.dedup();
    indexes
}

/// One frame; none when the clip has fewer bytes than its size says.
pub(super) fn frame(clip: &Clip, index: u32) -> Option<Picture> {
    let pixels = u64::from(clip.width) * u64::from(clip.height);
    let size = usize::try_from(pixels.checked_mul(3)?).ok()?;
    let start = size.checked_mul(usize::try_from(index).ok()?)?;
    let rgb = clip.rgb.get(start..start.checked_add(size)?)?;
    Some(Picture {
        width: clip.width,
        height: clip.height,
        rgb: rgb.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spread_over_the_clip_with_both_ends() {
        assert_eq!(spread(0, 8), [0; 0]);
        assert_eq!(spread(1, 8), [0]);
        assert_eq!(spread(2, 8), [0, 1]);
        assert_eq!(spread(5, 8), [0, 1, 2, 3, 4]);
        assert_eq!(spread(81, 8), [0, 5, 15, 25, 35, 45, 55, 65, 75, 80]);
        assert_eq!(spread(81, 1), [0, 40, 80]);
        assert_eq!(spread(u32::MAX, 2).len(), 4);
    }

    #[test]
    fn no_two_neighbours_are_further_apart_than_the_samples_promise() {
        for frames in 1..200_u32 {
            for samples in 1..20 {
                let indexes = spread(frames, samples);
                assert_eq!((indexes[0], indexes[indexes.len() - 1]), (0, frames - 1));
                let widest = indexes.windows(2).map(|pair| pair[1] - pair[0]).max();
                assert!(
                    widest.unwrap_or(0) <= frames / samples + 1,
                    "{frames} {samples}"
                );
            }
        }
    }

    #[test]
    fn a_clip_shorter_than_it_says_has_no_such_frame() {
        let clip = Clip {
            width: 2,
            height: 1,
            frames: 3,
            rgb: (0..12).collect(),
        };
        assert_eq!(frame(&clip, 1).unwrap().rgb, [6, 7, 8, 9, 10, 11]);
        assert!(frame(&clip, 2).is_none());
    }
}
