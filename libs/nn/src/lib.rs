//! Tensor blocks on libtorch: weights, linear, convolution, norm, attention, rotary positions.
//!
//! Layers are plain structs that hold tensors. They are built from a [`Weights`] cursor, which checks
//! every tensor against the shape its layer expects and, at the end, that no tensor was left over.
//!
//! Axes are named by single letters throughout, and only these letters are used:
//!
//! | letter | axis |
//! | --- | --- |
//! | `b` | batch |
//! | `f` | frames (latent or pixel) |
//! | `h` `w` | height and width |
//! | `c` | channels |
//! | `s` | tokens |
//! | `n` | attention heads |
//! | `d` | width of one head |
//! | `o` `i` | outputs and inputs of a layer |
//!
//! Methods named `load` return errors; `forward` methods use libtorch's panicking operators, because
//! a shape error there is a defect. The caller catches a panic once per job.

pub mod activation;
pub mod attention;
pub mod conv;
pub mod linear;
pub mod norm;
pub mod parameters;
pub mod quantised;
pub mod rope;
pub mod weights;

pub use activation::gelu_tanh;
pub use attention::{fix_kernel_choice, scaled_dot_product_attention};
pub use conv::{CausalConv3d, Conv2d, FeatureCache, channels_last};
pub use linear::Linear;
pub use norm::{LayerNorm, RmsNorm, modulated_layer_norm};
pub use parameters::Parameters;
pub use quantised::WeightFormat;
pub use rope::{RopeTable, rope_axis_split};
pub use tch::TchError;
pub use weights::{GgufMetadata, GgufValue, NameMap, Weights, WeightsError, onnx_metadata};
