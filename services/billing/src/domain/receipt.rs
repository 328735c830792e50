//! How many credits money is worth: on the way in, by the lines of an invoice, and on the way out, by what was given back.

use std::time::Duration;

use super::Time;
use super::credits::Credits;

/// A failed event is tried again after a second at first.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// And never later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// A part of an invoice, with the plan that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLine {
    /// What a month of the plan gives.
    pub monthly: Credits,
    /// What a month of the plan costs, in the smallest unit of the currency; more than 0.
    pub price: i64,
    /// What is asked for. Negative for what is given back.
    pub amount: i64,
    /// Whether it is for a part of a month, after a change.
    pub is_part: bool,
}

/// What the lines of an invoice give together. A whole month gives the plan's credits, whatever was taken off its price; a
/// part gives its share of them, or takes it away. Never less than none.
#[must_use]
pub fn credits_of_lines(lines: &[PlanLine]) -> Credits {
    let credits = lines.iter().map(credits_of_line);
    let sum = credits.fold(0, i128::saturating_add);
    let sum = i64::try_from(sum.max(0)).unwrap_or(i64::MAX);
    Credits::new(sum).unwrap_or(Credits::ZERO)
}

/// Rounded down, so that a month in parts never gives more than a whole one.
fn credits_of_line(line: &PlanLine) -> i128 {
    let monthly = i128::from(line.monthly.get());
    if line.is_part {
        let product = monthly * i128::from(line.amount);
        return product.div_euclid(i128::from(line.price.max(1)));
    }
    if line.amount > 0 { monthly } else { 0 }
}

/// How many of a receipt's credits are not the payer's when so much of the money went back: as many in a hundred, rounded
/// down, and all when all of it did.
#[must_use]
pub fn credits_taken(credits: Credits, paid: i64, went_back: i64) -> Credits {
    if paid <= 0 || went_back <= 0 {
        return Credits::ZERO;
    }
    let went_back = i128::from(went_back.min(paid));
    let taken = i128::from(credits.get()) * went_back / i128::from(paid);
    // At most `credits`, as not more than `paid` goes back.
    i64::try_from(taken)
        .ok()
        .and_then(Credits::new)
        .unwrap_or(credits)
}

/// How long an event is left alone that failed so many times.
#[must_use]
pub fn pause_after(failures: i32) -> Duration {
    let doublings = u32::try_from(failures.max(1) - 1).unwrap_or(0);
    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings));
    pause.min(LONGEST_PAUSE)
}

/// When credits end that were paid at `paid` and may be spent for so many days; None for never. They count from the
/// payment, but from now where the money took more than a day to be here: nobody loses days to a bank.
#[must_use]
pub fn end_of_pack(paid: Time, valid_days: i32, now: Time) -> Option<Time> {
    if valid_days <= 0 {
        return None;
    }
    let day = chrono::TimeDelta::days(1);
    let begin = if now - paid > day { now } else { paid };
    Some(begin + chrono::TimeDelta::days(valid_days.into()))
}

/// When credits of a period end that were paid at `paid`: with it. Who pays when it is over has as long from then on. When it
/// was heard of does not count, or what is heard of again would be worth more.
#[must_use]
pub fn end_of_period(start: Time, end: Time, paid: Time) -> Time {
    if end > paid {
        end
    } else {
        paid + (end - start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn credits(value: i64) -> Credits {
        Credits::new(value).unwrap()
    }

    fn line(monthly: i64, price: i64, amount: i64, is_part: bool) -> PlanLine {
        PlanLine {
            monthly: credits(monthly),
            price,
            amount,
            is_part,
        }
    }

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn lines_of_an_invoice_give_what_they_pay_for() {
        let sum = |lines: &[PlanLine]| credits_of_lines(lines).get();
        assert_eq!(sum(&[]), 0);
        assert_eq!(sum(&[line(1_500, 999, 999, false)]), 1_500);
        assert_eq!(sum(&[line(1_500, 999, 499, false)]), 1_500, "half off");
        assert_eq!(sum(&[line(1_500, 999, 0, false)]), 0, "a trial");
        assert_eq!(sum(&[line(1_500, 999, -999, false)]), 0, "a credit");
        let change = [
            line(1_500, 1_000, -500, true),
            line(6_000, 4_000, 2_000, true),
        ];
        assert_eq!(sum(&change), 3_000 - 750);
        let back = [
            line(6_000, 4_000, -2_000, true),
            line(1_500, 1_000, 500, true),
        ];
        assert_eq!(sum(&back), 0, "less than none is none");
        // A third of 1000 is 333, and a third less is 334 less.
        assert_eq!(sum(&[line(1_000, 3, 1, true)]), 333);
        assert_eq!(
            sum(&[line(1_000, 3, -1, true), line(500, 1, 1, false)]),
            166
        );
    }

    #[test]
    fn sums_of_lines_do_not_wrap() {
        let huge = line(i64::MAX, 1, i64::MAX, true);
        assert_eq!(credits_of_lines(&[huge; 3]), Credits::MAX);
        let free = line(10, 0, 5, true);
        assert_eq!(
            credits_of_lines(&[free]).get(),
            50,
            "nothing is divided by zero"
        );
    }

    #[test]
    fn credits_go_with_the_money() {
        let taken = |of, paid, back| credits_taken(credits(of), paid, back).get();
        assert_eq!(taken(1_000, 999, 0), 0);
        assert_eq!(taken(1_000, 999, 999), 1_000);
        assert_eq!(taken(1_000, 999, 2_000), 1_000, "refunded and disputed");
        assert_eq!(taken(1_000, 3, 1), 333);
        assert_eq!(taken(1_000, 0, 5), 0, "nothing was paid");
        assert_eq!(taken(1_000, 999, -5), 0);
        assert_eq!(taken(i64::MAX, i64::MAX, i64::MAX), i64::MAX);
    }

    proptest! {
        #[test]
        fn more_money_back_never_takes_fewer_credits(
            of in 0..=i64::MAX, paid in 1..=i64::MAX, less in 0..=i64::MAX, more in 0..=i64::MAX,
        ) {
            let (less, more) = (less.min(more), less.max(more));
            let of = credits(of);
            prop_assert!(credits_taken(of, paid, less) <= credits_taken(of, paid, more));
            prop_assert!(credits_taken(of, paid, more) <= of);
            prop_assert_eq!(credits_taken(of, paid, paid), of);
        }
    }

    #[test]
    fn pauses_grow_from_a_second_to_an_hour() {
        let seconds = |failures| pause_after(failures).as_secs();
        assert_eq!([0, 1, 2, 3, 12].map(seconds), [1, 1, 2, 4, 2_048]);
        assert_eq!([13, 40, i32::MAX].map(seconds), [3_600; 3]);
        assert_eq!(seconds(i32::MIN), 1);
    }

    #[test]
    fn days_of_a_pack_count_from_the_payment_unless_it_took_long() {
        let paid = time("2026-11-22T12:00:00Z");
        let soon = time("2026-11-22T12:00:05Z");
        let late = time("2026-11-29T12:00:00Z");
        assert_eq!(end_of_pack(paid, 0, soon), None);
        assert_eq!(
            end_of_pack(paid, 2, soon),
            Some(time("2026-11-24T12:00:00Z"))
        );
        assert_eq!(
            end_of_pack(paid, 2, late),
            Some(time("2026-12-01T12:00:00Z"))
        );
    }

    #[test]
    fn who_pays_late_has_a_whole_period() {
        let (start, end) = (time("2026-11-01T00:00:00Z"), time("2026-12-01T00:00:00Z"));
        assert_eq!(end_of_period(start, end, time("2026-11-22T12:00:00Z")), end);
        let late = time("2026-12-05T00:00:00Z");
        assert_eq!(
            end_of_period(start, end, late),
            time("2027-01-04T00:00:00Z")
        );
    }
}
