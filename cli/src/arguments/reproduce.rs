//! Arguments of `kinora reproduce`.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use kinora_models::Residency;

use super::{PlaceArguments, ServerArguments};

const HELP: &str = "\
The manifest says what was asked, from which files, and how the model was computed; all of that is repeated here,
without a mesh. Every file of the model is compared with the manifest's digests before anything is generated.

Examples:
  kinora generate \"a red star\" --manifest star.json    saves the manifest beside the clip
  kinora reproduce star.json                           draws the clip again and compares
  kinora reproduce 01890000-0000-7000-8000-000000000000 -o again.mp4
      takes the manifest of a job of the mesh, and keeps the clip

Exit status: 0 latents and frames are the same, 1 they differ, 2 manifest, model or picture is not the one needed,
130 interrupted.";

/// Options of `kinora reproduce`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct ReproduceArguments {
    /// File of a manifest, or id of a job of the mesh.
    #[arg(value_name = "MANIFEST")]
    pub manifest: PathBuf,
    /// Folder of the model [default: looked for by its name, among --models and the pulled ones].
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The picture that became the first frame, the very file.
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// The picture that became the last frame, the very file.
    #[arg(long, value_name = "FILE")]
    pub last_image: Option<PathBuf>,
    /// Where to keep the clip; a file that is there is replaced. A single frame may go into a .png, .webp or .jpg.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Index of the CUDA device; the CPU when absent.
    #[arg(long, env = "KINORA_CUDA_DEVICE")]
    pub cuda_device: Option<usize>,
    /// Where weights rest: resident, stage-offload or block-swap [default: the first that fits the device].
    #[arg(long, env = "KINORA_RESIDENCY")]
    pub residency: Option<Residency>,
    /// Memory of the device that model and clip may take, for example 24GiB [default: what is free].
    #[arg(long, env = "KINORA_MEMORY_LIMIT")]
    pub memory_limit: Option<ByteSize>,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the comparison as JSON, with whole digests.
    #[arg(long)]
    pub json: bool,
    /// Where models and programs are.
    #[command(flatten)]
    pub places: PlaceArguments,
    /// Which mesh, for the id of a job.
    #[command(flatten)]
    pub server: ServerArguments,
}
