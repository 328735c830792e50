//! How far an attempt is, from work that has finished.
//!
//! The fraction weighs the stages by what they took in the last clip of this worker, or by a fixed
//! first guess, and moves only when the device or the uploader has finished something.

use std::time::Duration;

use kinora_proto::scheduler::v1 as pb;

/// The stages of an attempt, in order.
pub const STAGES: [pb::Stage; 6] = [
    pb::Stage::Loading,
    pb::Stage::Encoding,
    pb::Stage::Denoising,
    pb::Stage::Decoding,
    pb::Stage::Packaging,
    pb::Stage::Uploading,
];

/// Below this share an estimate of the time left would be a guess.
const MIN_FRACTION_FOR_ETA: f64 = 0.05;

/// Seconds that each stage takes, as a basis for shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageCosts([f64; STAGES.len()]);

impl Default for StageCosts {
    /// A first guess for a small clip with a resident model.
    fn default() -> Self {
        Self([0.0, 0.02, 0.78, 0.14, 0.04, 0.02])
    }
}

impl StageCosts {
    /// A first guess for clips that are fetched, joined and stored.
    #[must_use]
    pub const fn of_stitching() -> Self {
        Self([0.25, 0.0, 0.0, 0.0, 0.65, 0.1])
    }
}

/// Follows one attempt.
pub struct Meter {
    costs: StageCosts,
    measured: StageCosts,
    stage: usize,
    stage_begun: Duration,
    fraction: f64,
    /// What was done before this attempt began, by its checkpoint.
    inherited: f64,
    newest: Option<pb::Progress>,
}

impl Meter {
    /// Begins an attempt at time zero, expecting what earlier clips took.
    #[must_use]
    pub const fn new(costs: StageCosts) -> Self {
        let measured = StageCosts([0.0; STAGES.len()]);
        Self {
            costs,
            measured,
            stage: 0,
            stage_begun: Duration::ZERO,
            fraction: 0.0,
            inherited: 0.0,
            newest: None,
        }
    }

    /// Notes that `step` of `steps` of a stage have finished, `elapsed` after the attempt began.
    pub fn advance(
        &mut self,
        stage: pb::Stage,
        step: u32,
        steps: u32,
        elapsed: Duration,
    ) -> pb::Progress {
        let index = STAGES
            .iter()
            .position(|known| *known == stage)
            .unwrap_or(self.stage);
        let is_new_stage = index > self.stage;
        if is_new_stage {
            self.measured.0[self.stage] += seconds_between(self.stage_begun, elapsed);
            self.stage = index;
            self.stage_begun = elapsed;
        }
        let within = if steps == 0 {
            0.0
        } else {
            f64::from(step) / f64::from(steps)
        };
        let done = self.share_done(within);
        if is_new_stage && step > 0 {
            self.inherited = done - self.share_done(0.0);
        }
        self.fraction = self.fraction.max(done);
        let progress = pb::Progress {
            stage: stage.into(),
            step,
            steps,
            fraction: self.fraction,
            eta: self.eta(elapsed),
            queue_position: 0,
            queue_eta: None,
        };
        self.newest = Some(progress);
        progress
    }

    /// What was told last.
    #[must_use]
    pub const fn newest(&self) -> Option<pb::Progress> {
        self.newest
    }

    /// The measured costs of the finished attempt, for the next one.
    #[must_use]
    pub fn finish(&self, elapsed: Duration) -> StageCosts {
        let mut measured = self.measured;
        measured.0[self.stage] += seconds_between(self.stage_begun, elapsed);
        // Loading is rare; do not expect it again.
        measured.0[0] = 0.0;
        measured
    }

    fn share_done(&self, within: f64) -> f64 {
        let total: f64 = self.costs.0.iter().sum();
        let before: f64 = self.costs.0[..self.stage].iter().sum();
        if total <= 0.0 {
            return 0.0;
        }
        ((before + within.clamp(0.0, 1.0) * self.costs.0[self.stage]) / total).clamp(0.0, 1.0)
    }

    fn eta(&self, elapsed: Duration) -> Option<prost_types::Duration> {
        let done_here = self.fraction - self.inherited;
        if done_here < MIN_FRACTION_FOR_ETA {
            return None;
        }
        let left = elapsed.as_secs_f64() * (1.0 - self.fraction) / done_here;
        Duration::try_from_secs_f64(left).ok()?.try_into().ok()
    }
}

fn seconds_between(begin: Duration, end: Duration) -> f64 {
    end.saturating_sub(begin).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_fraction_never_falls() {
        let mut meter = Meter::new(StageCosts::default());
        let mut last = 0.0;
        for (stage, step, steps) in [
            (pb::Stage::Loading, 0, 0),
            (pb::Stage::Encoding, 1, 1),
            (pb::Stage::Denoising, 0, 2),
            (pb::Stage::Denoising, 2, 2),
            (pb::Stage::Denoising, 1, 2),
            (pb::Stage::Decoding, 5, 5),
            (pb::Stage::Uploading, 1, 1),
        ] {
            let progress = meter.advance(stage, step, steps, MS(10));
            assert!(progress.fraction >= last, "{stage:?} {step}");
            last = progress.fraction;
        }
        assert!((last - 1.0).abs() < 1e-9, "{last}");
    }

    #[test]
    fn nothing_finished_is_no_progress_and_no_estimate() {
        let mut meter = Meter::new(StageCosts::default());
        let progress = meter.advance(pb::Stage::Denoising, 0, 20, MS(100));
        assert!(
            progress.fraction < MIN_FRACTION_FOR_ETA,
            "{}",
            progress.fraction
        );
        assert_eq!(progress.eta, None);
    }

    #[test]
    fn the_estimate_is_the_measured_pace() {
        let mut meter = Meter::new(StageCosts([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]));
        meter.advance(pb::Stage::Denoising, 0, 20, MS(0));
        let progress = meter.advance(pb::Stage::Denoising, 5, 20, MS(1000));
        assert_eq!(
            progress.eta,
            Some(prost_types::Duration {
                seconds: 3,
                nanos: 0
            })
        );
    }

    #[test]
    fn a_checkpoint_counts_as_done_and_not_as_pace() {
        let mut meter = Meter::new(StageCosts([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]));
        let resumed = meter.advance(pb::Stage::Denoising, 10, 20, MS(0));
        assert_eq!((resumed.fraction, resumed.eta), (0.5, None));
        let progress = meter.advance(pb::Stage::Denoising, 15, 20, MS(1000));
        assert_eq!(
            progress.eta,
            Some(prost_types::Duration {
                seconds: 1,
                nanos: 0
            })
        );
    }

    #[test]
    fn the_next_attempt_expects_what_this_one_took() {
        let mut meter = Meter::new(StageCosts::default());
        meter.advance(pb::Stage::Encoding, 0, 1, MS(500));
        meter.advance(pb::Stage::Denoising, 0, 1, MS(600));
        meter.advance(pb::Stage::Decoding, 0, 1, MS(900));
        let costs = meter.finish(MS(1000));
        let expected = [0.0, 0.1, 0.3, 0.1, 0.0, 0.0];
        for (cost, expected) in costs.0.iter().zip(expected) {
            assert!((cost - expected).abs() < 1e-9, "{costs:?}");
        }
    }
}
