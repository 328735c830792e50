//! Arguments of `kinora model`: single stages of a model, for comparisons.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kinora_models::{DeviceChoice, LoadOptions, Precision, Sampler, SigmaGrid};

const EXAMPLES: &str = "\
Tensors go in and come out as safetensors files, all outputs in 32-bit floats.

Example: the same noise and embeddings through this engine and through another one
  kinora model encode-text --model DIR --prompt \"a cat\" --prompt \"\" --out text.safetensors
  kinora model denoise --model DIR --inputs in.safetensors --out out.safetensors \\
      --steps 20 --guidance 5 --shift 5 --sampler unipc";

/// Runs single stages of a model, to compare with other implementations.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ModelArguments {
    /// The stage.
    #[command(subcommand)]
    pub stage: ModelStage,
}

/// A stage of a model.
#[derive(Subcommand, Clone, Debug)]
pub enum ModelStage {
    /// Noise to latents, step by step, and the frames they decode to.
    ///
    /// Inputs: noise [1,c,f,h,w]; prompt_embeds [1,s,d] with s up to 512; negative_prompt_embeds
    /// alike when guidance is above 1; for models that take pictures image_latents ([1,4+c,f,h,w],
    /// mask first, or [1,c,1,h,w], the first frame) and image_embeds [1,tokens,width].
    /// Outputs: latents [steps,1,c,f,h,w], after every step; frames [f,h,w,3] from 0 to 1.
    #[command(verbatim_doc_comment)]
    Denoise(DenoiseArguments),
    /// Texts to embeddings: embeds [n,512,d], zeros after a text's end, and lengths [n].
    EncodeText(EncodeTextArguments),
    /// Latents [1,c,f,h,w] to frames [f,h,w,3] from 0 to 1.
    Decode(FileArguments),
    /// Frames [f,h,w,3] from 0 to 1 to latents [1,c,f,h,w].
    Encode(FileArguments),
}

/// Which model, and how it is computed.
#[derive(Args, Clone, Debug)]
pub struct StageEngineArguments {
    /// Folder of the model. Only the parts that the stage needs have to be there.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// What large products are computed in.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub dtype: Dtype,
    /// cpu, cuda or cuda:INDEX.
    #[arg(long, default_value = "cpu", value_parser = parse_device)]
    pub device: DeviceChoice,
    /// Threads of CPU operators; libtorch decides when absent.
    #[arg(long)]
    pub threads: Option<usize>,
}

/// Options of `kinora model denoise`.
#[derive(Args, Clone, Debug)]
pub struct DenoiseArguments {
    /// The engine.
    #[command(flatten)]
    pub engine: StageEngineArguments,
    /// Input and output.
    #[command(flatten)]
    pub files: Files,
    /// Number of steps.
    #[arg(long, default_value_t = 20, allow_negative_numbers = true)]
    pub steps: u32,
    /// Guidance scale; 1 or less ignores the negative prompt.
    #[arg(long, default_value_t = 5.0, allow_negative_numbers = true)]
    pub guidance: f64,
    /// How far noise levels lean towards high noise; what the model says when absent.
    #[arg(long, allow_negative_numbers = true)]
    pub shift: Option<f64>,
    /// The solver and its noise levels.
    #[arg(long, value_enum, default_value_t = SamplerChoice::Unipc)]
    pub sampler: SamplerChoice,
    /// Skip blocks on steps that change less than this; 0 is off. Makes other clips.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub step_cache: f64,
    /// Do not decode: the folder needs no autoencoder then.
    #[arg(long)]
    pub latents_only: bool,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
}

/// Options of `kinora model encode-text`.
#[derive(Args, Clone, Debug)]
pub struct EncodeTextArguments {
    /// The engine.
    #[command(flatten)]
    pub engine: StageEngineArguments,
    /// A text. Repeat it for several.
    #[arg(long = "prompt", required = true)]
    pub prompts: Vec<String>,
    /// Where the embeddings go.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Options of `kinora model decode` and `kinora model encode`.
#[derive(Args, Clone, Debug)]
pub struct FileArguments {
    /// The engine.
    #[command(flatten)]
    pub engine: StageEngineArguments,
    /// Input and output.
    #[command(flatten)]
    pub files: Files,
}

/// Input and output of a stage.
#[derive(Args, Clone, Debug)]
pub struct Files {
    /// The tensors that go in.
    #[arg(long, value_name = "FILE")]
    pub inputs: PathBuf,
    /// Where the tensors that come out go; a file that is there is replaced.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// What large products are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
}

/// A solver and the noise levels it visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SamplerChoice {
    /// UniPC on the noise levels of diffusers.
    Unipc,
    /// UniPC on the noise levels of the model's own repository.
    UnipcNative,
    /// DPM-Solver++ 2M on the noise levels of the model's own repository.
    Dpmpp,
    /// Euler on the noise levels of diffusers' FlowMatchEulerDiscreteScheduler.
    Euler,
}

impl SamplerChoice {
    /// The two halves of the choice.
    #[must_use]
    pub const fn parts(self) -> (Sampler, SigmaGrid) {
        match self {
            Self::Unipc => (Sampler::UniPc, SigmaGrid::Diffusers),
            Self::UnipcNative => (Sampler::UniPc, SigmaGrid::Native),
            Self::Dpmpp => (Sampler::DpmPp, SigmaGrid::Full),
            Self::Euler => (Sampler::Euler, SigmaGrid::Ends),
        }
    }
}

impl StageEngineArguments {
    /// How the model is loaded.
    #[must_use]
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            device: self.device,
            precision: match self.dtype {
                Dtype::F32 => Precision::F32,
                Dtype::Bf16 => Precision::Bf16,
            },
            threads: self.threads,
            ..LoadOptions::default()
        }
    }
}

fn parse_device(text: &str) -> Result<DeviceChoice, String> {
    let index = match text {
        "cpu" => return Ok(DeviceChoice::Cpu),
        "cuda" => Some(0),
        other => other
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok()),
    };
    let index = index.ok_or_else(|| "must be cpu, cuda or cuda:INDEX".to_owned())?;
    Ok(DeviceChoice::Cuda(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_in_torch() {
        assert_eq!(parse_device("cpu"), Ok(DeviceChoice::Cpu));
        assert_eq!(parse_device("cuda"), Ok(DeviceChoice::Cuda(0)));
        assert_eq!(parse_device("cuda:3"), Ok(DeviceChoice::Cuda(3)));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(parse_device(wrong).is_err(), "{wrong}");
        }
    }
}
