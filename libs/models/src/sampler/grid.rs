//! Noise levels and timesteps, as plain numbers.

use super::SigmaGrid;

/// Keeps the first level of diffusers' grid off 1, where a solver's logarithms are infinite.
const FIRST_SIGMA_GAP: f64 = 1e-6;

/// The noise levels that a sampling run visits.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// `steps + 1` levels from 1 or just below down to exactly 0. Rounded to 32-bit floats, as the
    /// references do, and kept as 64-bit ones for the arithmetic.
    pub sigmas: Vec<f64>,
    /// The network's time input at each step: an integer, but for [`SigmaGrid::Ends`].
    pub timesteps: Vec<f64>,
}

impl Schedule {
    /// The schedule of `steps` steps.
    ///
    /// `shift` leans the grid towards high noise: `s' = shift s / (1 + (shift - 1) s)`.
    /// `train_timesteps` is the timestep of pure noise.
    #[must_use]
    pub fn new(grid: SigmaGrid, steps: u32, shift: f64, train_timesteps: u32) -> Self {
        let train_timesteps = f64::from(train_timesteps);
        let (first, last) = match grid {
            SigmaGrid::Ends => return Self::with_both_ends(steps, shift, train_timesteps),
            SigmaGrid::Native => (1.0 - 1.0 / train_timesteps, 0.0),
            SigmaGrid::Diffusers => (1.0, 1.0 / train_timesteps),
            SigmaGrid::Full => (1.0, 0.0),
        };
        let keeps_off_1 = grid == SigmaGrid::Diffusers;
        let mut sigmas = Vec::new();
        let mut timesteps = Vec::new();
        // Rounded once for all levels, as the references do: a timestep may lie on an integer, and the
        // last bit decides whether it is cut to the one below.
        let spacing = (last - first) / f64::from(steps);
        for index in 0..steps {
            let even = first + f64::from(index) * spacing;
            let mut sigma = shift * even / (1.0 + (shift - 1.0) * even);
            if keeps_off_1 && index == 0 && (sigma - 1.0).abs() < FIRST_SIGMA_GAP {
                sigma -= FIRST_SIGMA_GAP;
            }
            timesteps.push((sigma * train_timesteps).trunc());
            sigmas.push(round_to_f32(sigma));
        }
        sigmas.push(0.0);
        Self { sigmas, timesteps }
    }

    /// [`SigmaGrid::Ends`].
    fn with_both_ends(steps: u32, shift: f64, train_timesteps: f64) -> Self {
        let shifted = |sigma: f64| shift * sigma / (1.0 + (shift - 1.0) * sigma);
        let least = round_to_f32(shifted(round_to_f32(1.0 / train_timesteps)));
        let spacing = (least - 1.0) / f64::from(steps.saturating_sub(1).max(1));
        let even = |index| 1.0 + f64::from(index) * spacing;
        let levels = (0..steps).map(|index| round_to_f32(shifted(even(index))));
        let mut sigmas: Vec<f64> = levels.collect();
        let timesteps = sigmas
            .iter()
            .map(|sigma| round_to_f32(sigma * train_timesteps));
        let timesteps = timesteps.collect();
        sigmas.push(0.0);
        Self { sigmas, timesteps }
    }

    /// Number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.timesteps.len()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to 32-bit floats is the purpose"
)]
fn round_to_f32(value: f64) -> f64 {
    f64::from(value as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: &Schedule, sigmas: &[f64], timesteps: &[f64]) {
        assert_eq!(schedule.timesteps, timesteps);
        assert_eq!(schedule.sigmas.len(), sigmas.len());
        for (found, expected) in schedule.sigmas.iter().zip(sigmas) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn diffusers_grid_of_four_steps_shifted_by_three() {
        let schedule = Schedule::new(SigmaGrid::Diffusers, 4, 3.0, 1000);
        let even = [1.0, 0.75025, 0.5005, 0.25075];
        let shifted = even.map(|s: f64| 3.0 * s / (1.0 + 2.0 * s));
        let sigmas = [shifted[0] - 1e-6, shifted[1], shifted[2], shifted[3], 0.0];
        check(&schedule, &sigmas, &[999.0, 900.0, 750.0, 500.0]);
    }

    #[test]
    fn native_grid_of_four_steps_shifted_by_five() {
        let schedule = Schedule::new(SigmaGrid::Native, 4, 5.0, 1000);
        let even = [0.999, 0.74925, 0.4995, 0.24975];
        let shifted = even.map(|s: f64| 5.0 * s / (1.0 + 4.0 * s));
        let sigmas = [shifted[0], shifted[1], shifted[2], shifted[3], 0.0];
        check(&schedule, &sigmas, &[999.0, 937.0, 833.0, 624.0]);
    }

    #[test]
    fn full_grid_of_four_steps_shifted_by_five() {
        let schedule = Schedule::new(SigmaGrid::Full, 4, 5.0, 1000);
        let sigmas = [1.0, 0.9375, 5.0 / 6.0, 0.625, 0.0];
        check(&schedule, &sigmas, &[1000.0, 937.0, 833.0, 625.0]);
    }

    #[test]
    fn full_grid_of_twenty_steps_starts_as_the_reference() {
        let schedule = Schedule::new(SigmaGrid::Full, 20, 5.0, 1000);
        assert_eq!(schedule.timesteps[..3], [1000.0, 989.0, 978.0]);
        assert!((schedule.sigmas[1] - 0.989_583_3).abs() < 1e-6);
    }

    #[test]
    fn timesteps_on_the_edge_of_an_integer_are_cut_as_the_reference_cuts_them() {
        // Without a shift the levels of 9 steps are ninths; found by running the references.
        let timesteps = |grid| Schedule::new(grid, 9, 1.0, 1000).timesteps;
        assert_eq!(timesteps(SigmaGrid::Native)[3], 665.0);
        assert_eq!(timesteps(SigmaGrid::Diffusers)[6], 333.0);
    }

    #[test]
    fn grid_with_both_ends_of_four_steps_equals_the_reference() {
        // Printed by diffusers' FlowMatchEulerDiscreteScheduler(shift=3).
        let schedule = Schedule::new(SigmaGrid::Ends, 4, 3.0, 1000);
        let sigmas = [1.0, 0.857_692_3, 0.602_150_56, 0.008_928_572, 0.0];
        let timesteps = [1000.0, 857.692_3, 602.150_57, 8.928_572];
        for (found, expected) in schedule.timesteps.iter().zip(timesteps) {
            assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
        }
        check(&schedule, &sigmas, &schedule.timesteps);
    }

    #[test]
    fn levels_fall_strictly_to_zero() {
        for grid in [
            SigmaGrid::Native,
            SigmaGrid::Diffusers,
            SigmaGrid::Full,
            SigmaGrid::Ends,
        ] {
            for steps in [1, 2, 7, 50, 1000] {
                let schedule = Schedule::new(grid, steps, 3.0, 1000);
                assert!(schedule.sigmas.windows(2).all(|pair| pair[0] > pair[1]));
                assert_eq!(schedule.sigmas.last(), Some(&0.0));
            }
        }
    }
}
