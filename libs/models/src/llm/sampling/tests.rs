use super::*;

fn sampler(options: SamplingOptions) -> TokenSampler {
    options.check().unwrap();
    TokenSampler::new(options)
}

fn warm(seed: u64) -> SamplingOptions {
    SamplingOptions {
        temperature: 1.0,
        seed,
        ..SamplingOptions::default()
    }
}

/// How often each of four tokens is drawn in 4000 times.
fn counts(options: &SamplingOptions, logits: [f32; 4], allows: impl Fn(u32) -> bool) -> [u32; 4] {
    let mut counts = [0; 4];
    let mut random = SplitMix(options.seed);
    for _ in 0..4000 {
        let options = SamplingOptions {
            seed: random.next(),
            ..options.clone()
        };
        let id = sampler(options).draw(&mut logits.clone(), &allows).unwrap();
        counts[id as usize] += 1;
    }
    counts
}

/// Logits of probabilities 1/2, 1/4, 1/8 and 1/8, in an order of their own.
fn halves() -> [f32; 4] {
    [0.125, 0.5, 0.125, 0.25].map(f32::ln)
}

#[test]
fn at_temperature_zero_the_most_likely_token_is_taken_and_the_first_of_equals() {
    let mut greedy = sampler(SamplingOptions::default());
    assert_eq!(greedy.draw(&mut [0.0, 3.0, 2.0], |_| true), Ok(1));
    assert_eq!(greedy.draw(&mut [0.0, 3.0, 3.0], |_| true), Ok(1));
    assert_eq!(greedy.draw(&mut [0.0, 3.0, 2.0], |id| id != 1), Ok(2));
}

#[test]
fn tokens_are_drawn_as_often_as_they_are_likely() {
    let found = counts(&warm(1), halves(), |_| true);
    for (found, expected) in found.into_iter().zip([500, 2000, 500, 1000]) {
        assert!(found.abs_diff(expected) < 120, "{found}, not {expected}");
    }
}

#[test]
fn temperature_sharpens() {
    let cold = SamplingOptions {
        temperature: 0.5,
        ..warm(2)
    };
    // Probabilities squared: 4, 1 and 1/4 twice, of 5.5.
    let found = counts(&cold, halves(), |_| true);
    assert!(found[1].abs_diff(2909) < 120, "{found:?}");
}

#[test]
fn top_k_and_top_p_cut_the_least_likely() {
    let two = SamplingOptions {
        top_k: 2,
        ..warm(3)
    };
    let found = counts(&two, halves(), |_| true);
    assert_eq!((found[0], found[2]), (0, 0));
    assert!(found[1].abs_diff(2667) < 120, "{found:?}");
    // The token that crosses the share is kept.
    let share = SamplingOptions {
        top_p: 0.6,
        ..warm(4)
    };
    let found = counts(&share, halves(), |_| true);
    assert_eq!((found[0], found[2]), (0, 0));
    assert!(found[3] > 1000, "{found:?}");
}

#[test]
fn what_is_not_allowed_is_never_drawn() {
    let found = counts(&warm(5), halves(), |id| id != 1);
    assert_eq!(found[1], 0);
    assert!(found[3].abs_diff(2000) < 120, "{found:?}");
    let none = sampler(warm(6)).draw(&mut halves(), |_| false);
    assert_eq!(none, Err(LlmError::NoTokenFits));
}

#[test]
fn tokens_of_the_answer_become_less_likely() {
    let options = SamplingOptions {
        repetition_penalty: 2.0,
        ..SamplingOptions::default()
    };
    let mut penalised = sampler(options);
    assert_eq!(penalised.draw(&mut [1.0, 3.0, 2.0], |_| true), Ok(1));
    assert_eq!(penalised.draw(&mut [1.0, 3.0, 2.0], |_| true), Ok(2));
    assert_eq!(penalised.draw(&mut [-1.0, -0.6, -0.9], |_| true), Ok(0));
}

#[test]
fn a_seed_gives_the_same_tokens() {
    let drawn = |seed| {
        let mut sampler = sampler(warm(seed));
        let draw = |_| sampler.draw(&mut halves(), |_| true).unwrap();
        (0..64).map(draw).collect::<Vec<u32>>()
    };
    assert_eq!(drawn(9), drawn(9));
    assert_ne!(drawn(9), drawn(10));
}

#[test]
fn logits_that_are_no_numbers_are_an_error() {
    let mut greedy = sampler(SamplingOptions::default());
    assert_eq!(
        greedy.draw(&mut [0.0, f32::NAN], |_| true),
        Err(LlmError::NotFinite)
    );
    let infinite = greedy.draw(&mut [f32::NEG_INFINITY; 2], |_| true);
    assert_eq!(infinite, Err(LlmError::NoTokenFits));
}

#[test]
fn options_out_of_range_are_named() {
    let fields = [
        SamplingOptions {
            temperature: -1.0,
            ..SamplingOptions::default()
        },
        SamplingOptions {
            temperature: f64::NAN,
            ..SamplingOptions::default()
        },
        SamplingOptions {
            top_p: 0.0,
            ..SamplingOptions::default()
        },
        SamplingOptions {
            repetition_penalty: 0.5,
            ..SamplingOptions::default()
        },
        SamplingOptions {
            max_tokens: 0,
            ..SamplingOptions::default()
        },
        SamplingOptions {
            stop: vec![String::new()],
            ..SamplingOptions::default()
        },
    ];
    let names = [
        "temperature",
        "temperature",
        "top_p",
        "repetition_penalty",
        "max_tokens",
        "stop",
    ];
    for (options, name) in fields.into_iter().zip(names) {
        match options.check() {
            Err(LlmError::Invalid { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}
