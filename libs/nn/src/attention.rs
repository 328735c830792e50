//! Attention, and the single place that says how kernels are chosen.
//!
//! Equal requests give equal bytes only if the same kernels run, so nothing is chosen by a stopwatch:
//! cuDNN's search is off ([`fix_kernel_choice`]), and libtorch picks the attention kernel from types,
//! shapes and strides alone, in an order that is fixed for its version and the device's class. Its
//! Rust binding has no call to choose another one. What the callers in this workspace give it:
//!
//! | attention | type | bias | kernels that can take it |
//! | --- | --- | --- | --- |
//! | transformer, self | compute type | none | fused |
//! | transformer, text, 32-bit | 32-bit | of one row, where padding is folded | fused except flash |
//! | transformer, text, 16-bit | 16-bit | none: padding is not folded | fused |
//! | transformer, image | compute type | none | fused |
//! | image encoder | compute type | none | fused |
//! | text encoder | compute type | per head and pair | fused except flash |
//! | autoencoder, 384 to 1024 channels a head | 32-bit | none | fused except flash |
//!
//! Fused kernels want the last axis of query, key and value side by side in memory; views that cut or
//! swap the other axes are taken as they are, without a copy. Flash attention takes 16-bit types
//! without bias, up to 256 channels a head. On the CPU one fused kernel serves everything.

use tch::{Cuda, Tensor};

/// Forbids cuDNN to time kernels and choose the fastest: its choice would differ from run to run.
///
/// It is a setting of the whole process. To be called before the first work on a CUDA device.
pub fn fix_kernel_choice() {
    Cuda::cudnn_set_benchmark(false);
}

/// `softmax(q k^T * scale + bias) v`, without a mask.
///
/// `scale` defaults to one over the root of the head width. The last axis of each input lies side by
/// side in memory, or fused kernels do not take it.
///
/// # Shapes
/// q `[b, n, s, d]`; k and v `[b, n, keys, d]`; bias broadcasts to `[b, n, s, keys]`; result as q
pub fn scaled_dot_product_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    bias: Option<&Tensor>,
    scale: Option<f64>,
) -> Tensor {
    Tensor::scaled_dot_product_attention(query, key, value, bias, 0.0, false, scale, false)
}
