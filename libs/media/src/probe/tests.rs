use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let size = u32::try_from(body.len() + 8).expect("small");
    [&size.to_be_bytes()[..], kind, &body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// An index of one video track with the given times of frames: (frames, ticks) runs.
fn moov(timescale: u32, runs: &[(u32, u32)]) -> Vec<u8> {
    let frames: u32 = runs.iter().map(|(frames, _)| frames).sum();
    let mut entries = words(&[0, u32::try_from(runs.len()).expect("few")]);
    for (count, ticks) in runs {
        entries.extend(words(&[*count, *ticks]));
    }
    let avc1 = boxed(b"avc1", &[&[0; 24], &words(&[(64 << 16) | 48]), &[0; 50]]);
    let stbl = boxed(
        b"stbl",
        &[
            &boxed(b"stsd", &[&words(&[0, 1]), &avc1]),
            &boxed(b"stts", &[&entries]),
            &boxed(b"stsz", &[&words(&[0, 0, frames])]),
        ],
    );
    let mdia = boxed(
        b"mdia",
        &[
            &boxed(b"mdhd", &[&words(&[0, 0, 0, timescale, 0, 0])]),
            &boxed(b"hdlr", &[&words(&[0, 0]), b"vide", &[0; 12]]),
            &boxed(b"minf", &[&stbl]),
        ],
    );
    let sound = boxed(
        b"trak",
        &[&boxed(b"mdia", &[&boxed(b"hdlr", &[&[0; 8], b"soun"])])],
    );
    boxed(b"moov", &[&sound, &boxed(b"trak", &[&mdia])])
}

fn mp4(timescale: u32, runs: &[(u32, u32)]) -> Vec<u8> {
    [
        boxed(b"ftyp", &[b"isom"]),
        moov(timescale, runs),
        boxed(b"mdat", &[&[7; 99]]),
    ]
    .concat()
}

fn probed(bytes: &[u8]) -> Result<Mp4Probe, MediaError> {
    probe_reader(&mut Cursor::new(bytes), bytes.len() as u64)
}

#[test]
fn sizes_times_and_order_are_read() {
    let bytes = mp4(8192, &[(17, 512)]);
    let expected = Mp4Probe {
        bytes: bytes.len() as u64,
        width: 64,
        height: 48,
        frames: 17,
        fps: 16,
        duration: Duration::from_micros(1_062_500),
        is_faststart: true,
        has_audio: true,
    };
    assert_eq!(probed(&bytes).expect("an mp4"), expected);
}

#[test]
fn index_after_the_frames_is_no_faststart() {
    let mdat = boxed(b"mdat", &[&[7; 99]]);
    let late = [mdat, moov(24, &[(2, 1)])].concat();
    assert!(!probed(&late).expect("an mp4").is_faststart);
}

#[test]
fn open_ended_and_64_bit_boxes_are_followed() {
    let long = [
        &[0, 0, 0, 1][..],
        b"free",
        &[0, 0, 0, 0, 0, 0, 0, 20],
        &[9; 4],
    ]
    .concat();
    let open = [&[0, 0, 0, 0][..], b"mdat", &[7; 9]].concat();
    let bytes = [long, moov(24, &[(2, 1)]), open].concat();
    assert_eq!(probed(&bytes).expect("an mp4").frames, 2);
}

#[test]
fn varying_and_broken_frame_rates_are_refused() {
    assert!(probed(&mp4(24, &[(1, 1), (1, 2)])).is_err());
    assert!(probed(&mp4(24, &[(2, 0)])).is_err());
    assert!(probed(&mp4(24, &[(2, 5)])).is_err());
    assert!(probed(&mp4(24, &[])).is_err());
    assert!(probed(&mp4(24, &[(1, 1), (1, 1)])).is_ok());
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = mp4(24, &[(2, 1)]);
    for end in 0..bytes.len() {
        // Cut inside the frames, the last box is longer than the file.
        assert!(probed(&bytes[..end]).is_err(), "cut at {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = probed(&bytes);
    }

    #[test]
    fn any_damage_to_an_mp4_is_survived(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
    ) {
        let mut bytes = mp4(8192, &[(17, 512), (3, 512)]);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = probed(&bytes);
    }
}
