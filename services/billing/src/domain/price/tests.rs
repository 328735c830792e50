use proptest::prelude::*;

use super::*;
use crate::domain::refusal::Refusal;
use crate::domain::work::tests::standard;

fn credits(value: i64) -> Credits {
    Credits::new(value).unwrap()
}

fn sized(width: u32, height: u32, frames: u32) -> Work {
    Work {
        width,
        height,
        ..standard(frames)
    }
}

#[track_caller]
fn check(prices: &Prices, work: &Work, expected: i64) {
    assert_eq!(prices.credits(work), credits(expected), "{work:?}");
}

#[test]
fn built_in_prices_are_thousandths_of_a_standard_second() {
    let prices = Prices::built_in();
    assert_eq!(prices.check(), Ok(()));
    check(&prices, &sized(832, 480, 16), 1000);
    check(&prices, &sized(480, 832, 80), 5000);
    check(&prices, &sized(1664, 960, 16), 4000);
    check(&prices, &sized(416, 240, 16), 250);
    check(&prices, &sized(16, 16, 1), 1);
    for steps in [0, 1, 50, 1000] {
        check(
            &prices,
            &Work {
                steps,
                ..standard(16)
            },
            1000,
        );
    }
    for tier in [Tier::Interactive, Tier::Batch] {
        let audio = true;
        check(
            &prices,
            &Work {
                tier,
                audio,
                ..standard(16)
            },
            1000,
        );
    }
    assert_eq!(prices.standard_milliseconds(credits(600_000)), 600_000);
}

/// A book with all that a book may have.
fn rich() -> Prices {
    let class = |up_to_pixels, factor| SizeClass {
        up_to_pixels,
        factor,
    };
    let model = |model: &str, price, steps, sizes| ModelPrice {
        model: model.to_owned(),
        price,
        sizes,
        steps,
    };
    Prices {
        models: vec![
            model("tiny", 500, 0, Vec::new()),
            model(
                "wan-*",
                3000,
                50,
                vec![class(400_000, 1000), class(1_000_000, 2500)],
            ),
            model("*", 1000, 0, Vec::new()),
        ],
        interactive: 1500,
        batch: 500,
        audio: 1250,
    }
}

#[test]
fn the_first_price_that_fits_the_model_holds() {
    let prices = rich();
    assert_eq!(prices.check(), Ok(()));
    let of = |model: &str| Work {
        model: model.to_owned(),
        ..standard(16)
    };
    check(&prices, &of("tiny"), 500);
    check(&prices, &of("wan-2"), 3000);
    check(&prices, &of("tiny-2"), 1000);
    check(&prices, &of(""), 1000);
}

#[test]
fn sizes_steps_tiers_and_sound_change_the_price() {
    let prices = rich();
    let wan = |width, height| Work {
        model: "wan-2".to_owned(),
        ..sized(width, height, 16)
    };
    check(&prices, &wan(16, 16), 3000);
    check(&prices, &wan(1000, 1000), 7500);
    check(&prices, &wan(2000, 1000), 15_000);
    check(
        &prices,
        &Work {
            steps: 25,
            ..wan(16, 16)
        },
        1500,
    );
    check(
        &prices,
        &Work {
            steps: 0,
            ..wan(16, 16)
        },
        60,
    );
    check(
        &prices,
        &Work {
            audio: true,
            ..wan(16, 16)
        },
        3750,
    );
    check(
        &prices,
        &Work {
            tier: Tier::Interactive,
            ..wan(16, 16)
        },
        4500,
    );
    check(
        &prices,
        &Work {
            tier: Tier::Batch,
            ..wan(16, 16)
        },
        1500,
    );
    assert_eq!(prices.standard_milliseconds(credits(1500)), 1500);
}

#[test]
fn what_cannot_be_counted_costs_more_than_anybody_has() {
    let mut prices = rich();
    prices.models[2].price = 1_000_000;
    prices.audio = 1_000_000;
    prices.interactive = 1_000_000;
    assert_eq!(prices.check(), Ok(()));
    let largest = Work {
        model: "large".to_owned(),
        frames: 1_000_000,
        fps: 1,
        audio: true,
        tier: Tier::Interactive,
        ..sized(65_536, 65_536, 1)
    };
    assert_eq!(prices.credits(&largest), Credits::MAX);
    let no_model = Prices {
        models: Vec::new(),
        ..Prices::built_in()
    };
    assert_eq!(no_model.credits(&standard(1)), Credits::MAX);
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Prices), named: &str) {
    let mut prices = rich();
    change(&mut prices);
    match prices.check() {
        Err(Refusal::PriceBookInvalid { field, .. }) => assert_eq!(field, named),
        other => panic!("{named}: {other:?}"),
    }
}

#[test]
fn books_by_which_something_has_no_price_are_refused() {
    refused(|it| it.models.clear(), "price_book.models");
    refused(
        |it| it.models = vec![it.models[0].clone(); 201],
        "price_book.models",
    );
    refused(|it| drop(it.models.pop()), "price_book.models[1].model");
    refused(
        |it| it.models[0].model = "*".to_owned(),
        "price_book.models[0].model",
    );
    for name in ["", "a*b", "**", "a b", &"x".repeat(129)] {
        refused(
            |it| it.models[0].model = name.to_owned(),
            "price_book.models[0].model",
        );
    }
    for factor in [0, 1_000_001] {
        refused(
            |it| it.models[2].price = factor,
            "price_book.models[2].price",
        );
        refused(
            |it| it.models[1].sizes[0].factor = factor,
            "price_book.models[1].sizes.factor",
        );
        refused(|it| it.interactive = factor, "price_book.interactive");
        refused(|it| it.batch = factor, "price_book.batch");
        refused(|it| it.audio = factor, "price_book.audio");
    }
    for pixels in [0, 400_000, u64::MAX] {
        refused(
            |it| it.models[1].sizes[1].up_to_pixels = pixels,
            "price_book.models[1].sizes.up_to_pixels",
        );
    }
    refused(
        |it| it.models[1].sizes = vec![it.models[1].sizes[0]; 51],
        "price_book.models[1].sizes",
    );
}

fn works() -> impl Strategy<Value = Work> {
    let tiers = prop::sample::select(vec![Tier::Interactive, Tier::Standard, Tier::Batch]);
    let models = prop::sample::select(vec!["tiny", "wan-2", "other", ""]);
    let sizes = (
        1_u32..=65_536,
        1_u32..=65_536,
        1_u32..=1_000_000,
        1_u32..=1_000,
    );
    (models, sizes, 0_u32..10_000, any::<bool>(), tiers).prop_map(
        |(model, (width, height, frames, fps), steps, audio, tier)| Work {
            model: model.to_owned(),
            width,
            height,
            frames,
            fps,
            steps,
            audio,
            tier,
        },
    )
}

proptest! {
    #[test]
    fn every_clip_has_a_price_and_more_frames_never_cost_less(work in works(), more in 0_u32..1000) {
        let longer = Work { frames: work.frames.saturating_add(more), ..work.clone() };
        let prices = rich();
        prop_assert!(prices.credits(&work) >= credits(1));
        prop_assert!(prices.credits(&longer) >= prices.credits(&work));
    }

    #[test]
    fn affordable_frames_are_the_most_that_the_budget_pays(work in works(), budget in 0_i64..10_000_000) {
        let (prices, budget) = (rich(), credits(budget));
        let frames = prices.affordable_frames(&work, budget);
        let cost = |frames| prices.credits(&Work { frames, ..work.clone() });
        prop_assert!(frames <= work.frames);
        prop_assert!(frames == 0 || cost(frames) <= budget);
        prop_assert!(frames == work.frames || cost(frames + 1) > budget);
    }

    #[test]
    fn pieces_of_a_clip_cost_as_much_as_the_clip_but_for_rounding(work in works()) {
        let prices = rich();
        let piece = |frames| prices.credits(&Work { frames, ..work.clone() });
        prop_assume!(work.frames > 1 && piece(work.frames) < Credits::MAX);
        let first = work.frames / 2;
        let pieces = [piece(first), piece(work.frames - first)].into_iter().sum::<Credits>();
        prop_assert!(pieces >= piece(work.frames));
        prop_assert!(pieces.get() <= piece(work.frames).get() + 2);
    }
}
