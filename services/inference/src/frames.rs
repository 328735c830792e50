//! Whether a clip may be seen: a detector looks at some of its frames, and a policy decides.
//!
//! It happens after a clip is decoded and before anything of it leaves the worker. The detector has a thread
//! of its own, computes on the CPU with as many threads as the engine, and knows nothing of jobs; what its findings mean is
//! data ([`policy`]). It fails closed: a worker that is to check and cannot delivers nothing.
//!
//! Previews on the way go through the same detector and a stricter rule, since they are small and coarse: one
//! that shows anything of a class that could end the clip is withheld, with all that follow.

mod inspector;
pub mod options;
pub mod policy;
mod sampling;

use std::path::Path;

use kinora_models::detector::Detector;
use kinora_models::{Clip, LoadError, Picture};
use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::inspector::Inspector;
use self::options::{FrameOptions, FrameReview};
use self::policy::{Audience, FramePolicy, Verdict};
use crate::engine::SignalCell;

pub use self::inspector::{FrameError, Inspect, Sighting};

/// Largest policy file, in bytes.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// The worker is to check frames and cannot be set up for it.
#[derive(Debug, thiserror::Error)]
pub enum FrameSetupError {
    /// The detector's file cannot be used.
    #[error("the frame detector cannot be used")]
    Detector(#[source] LoadError),
    /// The detector does not work.
    #[error("the frame detector does not work")]
    Broken(#[source] FrameError),
    /// The policy's file cannot be read.
    #[error("the frame policy {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The policy makes no sense.
    #[error("the frame policy is invalid: {0}")]
    Policy(String),
    /// A policy that nobody would follow.
    #[error("a frame policy is named and no frame detector (--frame-detector)")]
    NoDetector,
    /// No thread can be started.
    #[error("the frame detector has no thread")]
    Io(#[from] std::io::Error),
}

/// What a manifest says about the frames of its clip.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameRecord {
    /// Nobody looked.
    #[default]
    None,
    /// Some were looked at.
    Checked {
        /// SHA-256 of the detector's file, lower-case hex.
        detector_sha256: String,
        /// SHA-256 of the policy's text, lower-case hex.
        policy_sha256: String,
        /// Whose rules were followed.
        audience: Audience,
        /// Which frames, from 0.
        frames: Vec<u32>,
        /// `allow` for every clip that is delivered.
        verdict: String,
    },
}

/// A judged clip.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// What follows.
    pub verdict: Verdict,
    /// For the manifest.
    pub record: FrameRecord,
}

/// Judges clips. Shared by the attempts of a worker.
pub struct FrameCheck {
    inspector: Inspector,
    policy: FramePolicy,
    options: FrameOptions,
    detector_sha256: String,
    policy_sha256: String,
    verdicts: Counter<u64>,
}

impl FrameCheck {
    /// Reads detector and policy, and tries the detector once. None when no detector is configured. Blocks.
    ///
    /// # Errors
    /// [`FrameSetupError`]
    pub fn open(options: &FrameOptions) -> Result<Option<Self>, FrameSetupError> {
        let Some(path) = &options.frame_detector else {
            if options.frame_policy.is_some() {
                return Err(FrameSetupError::NoDetector);
            }
            tracing::info!("no frame detector is configured: clips are delivered unseen");
            return Ok(None);
        };
        let text = match &options.frame_policy {
            Some(path) => read_policy(path)?,
            None => policy::BUILT_IN.to_owned(),
        };
        let mut detector = Detector::load(path).map_err(FrameSetupError::Detector)?;
        let policy = FramePolicy::from_toml(&text).map_err(FrameSetupError::Policy)?;
        let known = policy.check_classes(detector.labels());
        known.map_err(FrameSetupError::Policy)?;
        let sha256 = detector.sha256().to_owned();
        let gray = Picture {
            width: 2,
            height: 2,
            rgb: vec![128; 12],
        };
        Inspect::inspect(&mut detector, &gray).map_err(FrameSetupError::Broken)?;
        let check = Self::of(Box::new(detector), sha256, &text, policy, options.clone())?;
        let (detector, policy) = (&check.detector_sha256, &check.policy_sha256);
        tracing::info!(
            detector,
            policy,
            "frames of clips are checked before they are delivered"
        );
        Ok(Some(check))
    }

    /// A check by an inspector of the caller's choice.
    ///
    /// # Errors
    /// The system's error when no thread can be started.
    pub fn of(
        inspector: Box<dyn Inspect>,
        detector_sha256: String,
        policy_text: &str,
        policy: FramePolicy,
        options: FrameOptions,
    ) -> std::io::Result<Self> {
        let verdicts = global::meter("kinora.inference")
            .u64_counter("kinora.inference.frame_checks")
            .with_unit("{clip}")
            .with_description("Clips whose frames were checked, by verdict.")
            .build();
        Ok(Self {
            inspector: Inspector::start(inspector)?,
            policy,
            options,
            detector_sha256,
            policy_sha256: hex::encode(Sha256::digest(policy_text)),
            verdicts,
        })
    }

    /// Whether clips that a person should look at are kept for that.
    #[must_use]
    pub fn keeps_for_review(&self) -> bool {
        self.options.frame_review == FrameReview::Keep
    }

    /// Looks at frames from all over a clip. Stops looking when `signal` says so.
    ///
    /// # Errors
    /// [`FrameError`]: then nobody knows what the clip shows.
    pub async fn judge(
        &self,
        clip: &Clip,
        audience: Audience,
        signal: &SignalCell,
    ) -> Result<Judgement, FrameError> {
        let judged = self.look(clip, audience, signal).await;
        let label = match &judged {
            Ok(judgement) => judgement.verdict.name(),
            Err(FrameError::Stopped) => return judged,
            Err(_) => "failed",
        };
        self.verdicts.add(1, &[KeyValue::new("verdict", label)]);
        judged
    }

    async fn look(
        &self,
        clip: &Clip,
        audience: Audience,
        signal: &SignalCell,
    ) -> Result<Judgement, FrameError> {
        let frames = sampling::spread(clip.frames, self.options.frame_samples);
        let pictures = frames.iter().map(|&index| sampling::frame(clip, index));
        let pictures: Option<Vec<Picture>> = pictures.collect();
        let pictures = pictures.filter(|pictures| !pictures.is_empty());
        let pictures = pictures.ok_or(FrameError::NoFrames)?;
        let seen = self.inspector.look(pictures, signal.clone()).await?;
        let verdict = self.policy.judge(audience, &seen);
        let record = FrameRecord::Checked {
            detector_sha256: self.detector_sha256.clone(),
            policy_sha256: self.policy_sha256.clone(),
            audience,
            frames,
            verdict: verdict.name().to_owned(),
        };
        Ok(Judgement { verdict, record })
    }

    /// Whether a preview may be shown. One that cannot be judged may not.
    pub async fn allows_preview(
        &self,
        preview: Picture,
        audience: Audience,
        signal: &SignalCell,
    ) -> bool {
        match self.inspector.look(vec![preview], signal.clone()).await {
            Ok(seen) => !self.policy.minds(audience, seen.iter().flatten()),
            Err(_) => false,
        }
    }
}

fn read_policy(path: &Path) -> Result<String, FrameSetupError> {
    let unreadable = |source| FrameSetupError::Unreadable {
        path: path.to_owned(),
        source,
    };
    if path.metadata().map_err(unreadable)?.len() > MAX_POLICY_BYTES {
        let reason = format!("{} is longer than {MAX_POLICY_BYTES} bytes", path.display());
        return Err(FrameSetupError::Policy(reason));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
