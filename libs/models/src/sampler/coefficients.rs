//! The numbers of UniPC (arXiv:2302.04867), variant B(h) = e^h - 1, for predictions of x0.
//!
//! With `a = 1 - s` and `l = ln(a / s)`, a step from level `s0` to `t` has `h = l(t) - l(s0)`.
//!
//! The predictor alone is DPM-Solver++ 2M (arXiv:2211.01095) with the midpoint rule.
//!
//! Level 1 is pure noise, where `l` is infinite. All coefficients stay finite there: a step from it
//! takes all signal from the prediction, and as the `older` level of a step it lies infinitely far
//! back, so that its difference weighs nothing and the step is one of first order.

/// `next = sample * x + latest * m0 + difference * (m1 - m0)`, where `x` is the sample the step
/// starts from, `m0` the newest prediction of x0 and `m1` the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Predictor {
    /// Weight of the sample.
    pub sample: f64,
    /// Weight of the newest prediction.
    pub latest: f64,
    /// Weight of the difference to the older prediction; 0 at first order.
    pub difference: f64,
}

/// `corrected = sample * x + latest * m0 + difference * (m1 - m0) + arrival * (m - m0)`, where `m` is
/// the prediction made at the level the step arrived at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Corrector {
    /// Weight of the sample the step started from.
    pub sample: f64,
    /// Weight of the prediction made there.
    pub latest: f64,
    /// Weight of the difference to the older prediction; 0 at first order.
    pub difference: f64,
    /// Weight of what the arrival's prediction adds.
    pub arrival: f64,
}

/// One step between two levels, and the level before it where the step is of second order.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// The level before `from`; `None` makes the step one of first order.
    pub before: Option<f64>,
    /// The level the step starts from.
    pub from: f64,
    /// The level it arrives at; may be 0 at first order.
    pub to: f64,
}

impl Interval {
    /// Coefficients of the prediction of the next sample.
    #[must_use]
    pub fn predictor(&self) -> Predictor {
        let (sample, latest) = self.linear_part();
        // Order 2 weighs the difference quotient by one half, the paper's simplified form.
        let difference = self.ratio().map_or(0.0, |ratio| latest * 0.5 / ratio);
        Predictor {
            sample,
            latest,
            difference,
        }
    }

    /// Coefficients of the correction of a sample once the network has seen it.
    #[must_use]
    pub fn corrector(&self) -> Corrector {
        let (sample, latest) = self.linear_part();
        let Some(ratio) = self.ratio() else {
            return Corrector {
                sample,
                latest,
                difference: 0.0,
                arrival: latest * 0.5,
            };
        };
        // Solves [[1, 1], [ratio, 1]] (rho0, rho1) = (b0, b1).
        let negative_h = -self.step();
        let growth = negative_h.exp_m1();
        let phi1 = growth / negative_h - 1.0;
        let phi2 = phi1 / negative_h - 0.5;
        let (b0, b1) = (phi1 / growth, 2.0 * phi2 / growth);
        let rho0 = (b0 - b1) / (1.0 - ratio);
        let rho1 = b0 - rho0;
        Corrector {
            sample,
            latest,
            difference: latest * rho0 / ratio,
            arrival: latest * rho1,
        }
    }

    /// Weights of the sample and of the newest prediction: `t / s0` and `-(1 - t) (e^-h - 1)`.
    fn linear_part(&self) -> (f64, f64) {
        (
            self.to / self.from,
            -(1.0 - self.to) * (-self.step()).exp_m1(),
        )
    }

    fn step(&self) -> f64 {
        log_ratio(self.to) - log_ratio(self.from)
    }

    /// How far back the older prediction lies, in steps; negative.
    fn ratio(&self) -> Option<f64> {
        self.before
            .map(|before| (log_ratio(before) - log_ratio(self.from)) / self.step())
    }
}

/// Half the logarithm of the signal-to-noise ratio; infinite at level 0.
fn log_ratio(sigma: f64) -> f64 {
    (1.0 - sigma).ln() - sigma.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_returns_the_prediction() {
        let last = Interval {
            before: None,
            from: 0.3,
            to: 0.0,
        }
        .predictor();
        assert_eq!(
            last,
            Predictor {
                sample: 0.0,
                latest: 1.0,
                difference: 0.0
            }
        );
    }

    #[test]
    fn first_order_is_exact_for_a_constant_prediction() {
        // x = (1 - s) x0 + s e with x0 = 2 and e = -1 must be carried from level to level.
        let x = |sigma: f64| (1.0 - sigma) * 2.0 - sigma;
        let step = Interval {
            before: None,
            from: 0.8,
            to: 0.5,
        }
        .predictor();
        assert!((step.sample * x(0.8) + step.latest * 2.0 - x(0.5)).abs() < 1e-12);
    }

    #[test]
    fn steps_from_and_after_pure_noise_are_of_first_order() {
        let first = Interval {
            before: None,
            from: 1.0,
            to: 0.8,
        };
        let Predictor { sample, latest, .. } = first.predictor();
        assert_eq!((sample, latest), (0.8, 1.0 - 0.8));
        let second = Interval {
            before: Some(1.0),
            from: 0.8,
            to: 0.5,
        };
        let first_order = Interval {
            before: None,
            ..second
        };
        assert_eq!(second.predictor(), first_order.predictor());
        for Corrector {
            difference,
            arrival,
            ..
        } in [first.corrector(), second.corrector()]
        {
            assert!(difference == 0.0 && arrival.is_finite());
        }
    }

    #[test]
    fn a_constant_prediction_needs_no_correction() {
        let step = Interval {
            before: Some(0.9),
            from: 0.8,
            to: 0.5,
        };
        let (predictor, corrector) = (step.predictor(), step.corrector());
        assert_eq!(
            (predictor.sample, predictor.latest),
            (corrector.sample, corrector.latest)
        );
    }
}
