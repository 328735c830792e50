//! What a pipeline may take of its device, and how it serves a request within that.

use tch::Tensor;

use super::WanPipeline;
use crate::card::ModelCard;
use crate::config::WanConfig;
use crate::error::GenerateError;
use crate::memory::{self, ClipSize, DoesNotFit, MemoryNeed, MemoryOptions, MemoryPlan};
use crate::request::{DeviceChoice, GenerateRequest, LoadOptions};
use crate::residency::Residency;
use crate::wan::vae::Tiling;

/// The limit, and the policy that was chosen when the model was loaded.
#[derive(Debug)]
pub(super) struct Budget {
    options: MemoryOptions,
    residency: Residency,
    limit_bytes: u64,
}

impl Budget {
    /// Chooses the policy under which the card's default clip fits, or the smallest one.
    ///
    /// Free memory is asked for once, before there are weights. If it is unknown, nothing is refused.
    pub(super) fn new(config: &WanConfig, card: &ModelCard, options: &LoadOptions) -> Self {
        let limit_bytes = options
            .memory_limit_bytes
            .or_else(|| memory::available_at_start(options.device).ok())
            .unwrap_or(u64::MAX);
        let is_cpu = options.device == DeviceChoice::Cpu;
        let mut memory_options = MemoryOptions {
            precision: options.precision,
            weights: options.weights,
            residency: options.residency,
            is_cpu,
            is_guided: true,
            has_step_cache: options.step_cache > 0.0,
        };
        let defaults = &card.defaults;
        let clip = ClipSize {
            width: defaults.width,
            height: defaults.height,
            frames: defaults.frames,
        };
        let smallest = if is_cpu {
            Residency::Resident
        } else {
            Residency::BlockSwap
        };
        let chosen = memory::plan(config, clip, &memory_options, limit_bytes)
            .map_or(smallest, |plan| plan.residency);
        let residency = options.residency.unwrap_or(chosen);
        memory_options.residency = Some(residency);
        Self {
            options: memory_options,
            residency,
            limit_bytes,
        }
    }

    /// Where weights rest.
    pub(super) fn residency(&self) -> Residency {
        self.residency
    }

    fn plan(
        &self,
        config: &WanConfig,
        clip: ClipSize,
        is_guided: bool,
    ) -> Result<MemoryPlan, DoesNotFit> {
        let options = MemoryOptions {
            is_guided,
            ..self.options
        };
        memory::plan(config, clip, &options, self.limit_bytes)
    }
}

/// What memory a worker with a model has, and what it needs: known before any weights are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// What requests need, under the policy that would be chosen.
    pub need: MemoryNeed,
    /// What requests may take, the model's own weights included; none when that is not known.
    pub limit_bytes: Option<u64>,
}

impl Forecast {
    /// As a pipeline of this model would be set up in this process.
    #[must_use]
    pub fn of(config: &WanConfig, card: &ModelCard, options: &LoadOptions) -> Self {
        let budget = Budget::new(config, card, options);
        Self {
            need: MemoryNeed::above(config, card, &budget.options),
            limit_bytes: (budget.limit_bytes != u64::MAX).then_some(budget.limit_bytes),
        }
    }
}

impl WanPipeline {
    /// How a request would be served within the memory limit, without serving it.
    ///
    /// # Errors
    /// `DoesNotFit`, with what would fit.
    pub fn plan_memory(&self, request: &GenerateRequest) -> Result<MemoryPlan, GenerateError> {
        let clip = ClipSize {
            width: request.width,
            height: request.height,
            frames: request.frames,
        };
        Ok(self
            .budget
            .plan(&self.config, clip, request.guidance > 1.0)?)
    }

    /// The tiles in which latents `[1, c, f, h, w]` are decoded; smallest if nothing seems to fit.
    pub(super) fn tiling_for(&self, latents: &Tensor) -> Option<Tiling> {
        let size = latents.size();
        let vae = &self.config.vae;
        let pixels = |positions: i64| u32::try_from(positions * vae.spatial_stride());
        let frames = u32::try_from(1 + (size[2] - 1) * vae.temporal_stride());
        let (Ok(height), Ok(width), Ok(frames)) = (pixels(size[3]), pixels(size[4]), frames) else {
            return Some(Tiling::default());
        };
        let clip = ClipSize {
            width,
            height,
            frames,
        };
        match self.budget.plan(&self.config, clip, false) {
            Ok(plan) => plan.tiling,
            Err(_) => Some(Tiling::default()),
        }
    }
}
