//! The parts of a model folder, each loaded when it is asked for.

use std::path::{Path, PathBuf};

use kinora_nn::Weights;
use tch::{Cuda, Device, Kind};

use super::{WanTransformer, WanVae};
use crate::clip::ClipVisionEncoder;
use crate::config::WanConfig;
use crate::error::LoadError;
use crate::request::{DeviceChoice, LoadOptions, Precision};
use crate::text::TextEncoder;
