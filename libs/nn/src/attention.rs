//! Attention: the single point where its kernel is chosen.

use tch::Tensor;

/// `softmax(q k^T * scale + bias) v`, without a mask.
///
/// `scale` defaults to one over the root of the head width.
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
