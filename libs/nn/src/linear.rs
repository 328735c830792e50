//! Affine maps of the last axis.

use tch::{Kind, Tensor};

use crate::weights::{Weights, WeightsError};

/// `y = x W^T + b`.
#[derive(Debug)]
pub struct Linear {
    /// `[o, i]`
    pub weight: Tensor,
    /// `[o]`
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Reads `weight` and `bias` in the compute type.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(weights: &Weights, inputs: i64, outputs: i64) -> Result<Self, WeightsError> {
        let weight = weights.get("weight", &[outputs, inputs])?;
        Ok(Self {
            weight,
            bias: Some(weights.get("bias", &[outputs])?),
        })
    }

    /// Reads `weight` and `bias` as 32-bit floats, whatever the compute type is.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load_f32(weights: &Weights, inputs: i64, outputs: i64) -> Result<Self, WeightsError> {
        let weight = weights.get_f32("weight", &[outputs, inputs])?;
        Ok(Self {
            weight,
            bias: Some(weights.get_f32("bias", &[outputs])?),
        })
    }

    /// Reads `weight` alone.
    ///
    /// # Errors
    /// The tensor is missing or misshaped.
    pub fn load_no_bias(
        weights: &Weights,
        inputs: i64,
        outputs: i64,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: weights.get("weight", &[outputs, inputs])?,
            bias: None,
        })
    }

    /// One layer that computes several layers of the same input, their outputs side by side.
    ///
    /// # Errors
    /// libtorch could not allocate the joint weights.
    pub fn stacked(layers: &[Linear]) -> Result<Self, tch::TchError> {
        let weights: Vec<&Tensor> = layers.iter().map(|layer| &layer.weight).collect();
        let biases: Option<Vec<&Tensor>> = layers.iter().map(|layer| layer.bias.as_ref()).collect();
        let weight = Tensor::f_cat(&weights, 0)?;
        let bias = biases.map(|biases| Tensor::f_cat(&biases, 0)).transpose()?;
        Ok(Self { weight, bias })
    }

    /// Applies the map, in the type of the weights.
    ///
    /// # Shapes
    /// `[.., i]` to `[.., o]`
    pub fn forward(&self, input: &Tensor) -> Tensor {
        input
            .to_kind(self.kind())
            .linear(&self.weight, self.bias.as_ref())
    }

    /// The type the map is computed in.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.weight.kind()
    }
}
