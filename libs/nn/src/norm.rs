//! Normalisations over the last axis. All of them compute in 32-bit floats.

use tch::{Kind, Tensor};

use crate::parameters;
use crate::weights::{Weights, WeightsError};

/// Layer normalisation with learned scale and shift.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

parameters!(LayerNorm { weight, bias; eps });

impl LayerNorm {
    /// Reads `weight` and `bias`, both `[width]`, as 32-bit floats.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(weights: &Weights, width: i64, eps: f64) -> Result<Self, WeightsError> {
        let weight = weights.get_f32("weight", &[width])?;
        Ok(Self {
            weight,
            bias: weights.get_f32("bias", &[width])?,
            eps,
        })
    }

    /// Normalises, scales and shifts; the result is in 32-bit floats.
    ///
    /// # Shapes
    /// `[.., width]` to the same
    pub fn forward(&self, input: &Tensor) -> Tensor {
        modulated_layer_norm(input, &self.weight, &self.bias, self.eps)
    }
}

/// Layer normalisation with a scale and shift given by the caller: `normalised * scale + shift`.
///
/// With `scale = 1 + s` this is the adaptive norm of diffusion transformers in one operator.
///
/// # Shapes
/// input `[.., width]`, scale and shift `[width]`, result as the input
pub fn modulated_layer_norm(input: &Tensor, scale: &Tensor, shift: &Tensor, eps: f64) -> Tensor {
    let width = scale.size1().unwrap_or_default();
    input
        .to_kind(Kind::Float)
        .layer_norm([width], Some(scale), Some(shift), eps, false)
}

/// Division by the root mean square, with a learned scale.
#[derive(Debug)]
pub struct RmsNorm {
    /// The scale; the last axis is the one normalised.
    pub weight: Tensor,
    eps: f64,
}

parameters!(RmsNorm { weight; eps });

impl RmsNorm {
    /// Reads `weight`, `[width]`, as 32-bit floats.
    ///
    /// # Errors
    /// The tensor is missing or misshaped.
    pub fn load(weights: &Weights, width: i64, eps: f64) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: weights.get_f32("weight", &[width])?,
            eps,
        })
    }

    /// Several norms of equal width as one, over an input with one more axis.
    ///
    /// # Errors
    /// libtorch could not allocate the joint scale.
    pub fn stacked(norms: &[RmsNorm]) -> Result<Self, tch::TchError> {
        let weights: Vec<&Tensor> = norms.iter().map(|norm| &norm.weight).collect();
        let eps = norms.first().map_or(0.0, |norm| norm.eps);
        Ok(Self {
            weight: Tensor::f_stack(&weights, 0)?,
            eps,
        })
    }

    /// Normalises the last axis; the result is in 32-bit floats.
    ///
    /// # Shapes
    /// `[.., width]` to the same; a stacked norm takes `[.., norms, width]`
    pub fn forward(&self, input: &Tensor) -> Tensor {
        // One pass for the sum of squares and one buffer for the result: on long clips memory, not
        // arithmetic, is what norms cost. The product with a 32-bit tensor widens 16-bit inputs.
        let width = self.weight.size().last().copied().unwrap_or(1) as f64;
        let norm = input.linalg_norm(2.0, Some([-1].as_slice()), true, Kind::Float);
        let scale = (norm.square() / width + self.eps).rsqrt();
        (input * scale).g_mul_(&self.weight)
    }
}
