//! Affine maps of the last axis.

use tch::{Kind, TchError, Tensor};

use crate::parameters::{MakeTensor, Parameters};
use crate::quantised::{QuantisedMatrix, WeightFormat};
use crate::weights::{Weights, WeightsError};

/// `y = x W^T + b`.
#[derive(Debug)]
pub struct Linear {
    weight: Matrix,
    /// `[o]`
    bias: Option<Tensor>,
}

/// A matrix `[o, i]` as it is stored.
#[derive(Debug)]
enum Matrix {
    /// In the compute type.
    Native(Tensor),
    /// In eight bits.
    Quantised(QuantisedMatrix),
}

impl Linear {
    /// A layer of given tensors: weight `[o, i]` in the compute type, bias `[o]`.
    #[must_use]
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        let weight = Matrix::Native(weight);
        Self { weight, bias }
    }

    /// Reads `weight` and `bias` in the compute type.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(weights: &Weights, inputs: i64, outputs: i64) -> Result<Self, WeightsError> {
        let weight = weights.get("weight", &[outputs, inputs])?;
        Ok(Self::new(weight, Some(weights.get("bias", &[outputs])?)))
    }

    /// Reads `weight` and `bias` as 32-bit floats, whatever the compute type is.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load_f32(weights: &Weights, inputs: i64, outputs: i64) -> Result<Self, WeightsError> {
        let weight = weights.get_f32("weight", &[outputs, inputs])?;
        Ok(Self::new(
            weight,
            Some(weights.get_f32("bias", &[outputs])?),
        ))
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
        Ok(Self::new(weights.get("weight", &[outputs, inputs])?, None))
    }

    /// One layer that computes several layers of the same input, their outputs side by side.
    ///
    /// # Errors
    /// libtorch could not allocate the joint weights.
    pub fn stacked(layers: &[Linear]) -> Result<Self, tch::TchError> {
        let weights: Vec<Tensor> = layers.iter().map(Linear::weight).collect();
        let biases: Option<Vec<&Tensor>> = layers.iter().map(|layer| layer.bias.as_ref()).collect();
        let weight = Tensor::f_cat(&weights, 0)?;
        let bias = biases.map(|biases| Tensor::f_cat(&biases, 0)).transpose()?;
        Ok(Self::new(weight, bias))
    }

    /// Stores the weight in `format` from now on; the bias stays as it is.
    ///
    /// The map is still computed in the same type, for which [`Linear::forward`] makes a temporary
    /// of the full matrix. Native leaves the layer as it is.
    ///
    /// # Errors
    /// libtorch could not allocate the matrix.
    pub fn quantise(&mut self, format: WeightFormat) -> Result<(), TchError> {
        if let Some(matrix) = QuantisedMatrix::new(&self.weight(), format)? {
            self.weight = Matrix::Quantised(matrix);
        }
        Ok(())
    }

    /// The weight `[o, i]` in the compute type: the layer's own, or made from eight bits.
    pub fn weight(&self) -> Tensor {
        match &self.weight {
            Matrix::Native(weight) => weight.shallow_clone(),
            Matrix::Quantised(matrix) => matrix.dequantise(),
        }
    }

    /// Applies the map, in the type of the weights.
    ///
    /// # Shapes
    /// `[.., i]` to `[.., o]`
    pub fn forward(&self, input: &Tensor) -> Tensor {
        input
            .to_kind(self.kind())
            .linear(&self.weight(), self.bias.as_ref())
    }

    /// The type the map is computed in.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.weight {
            Matrix::Native(weight) => weight.kind(),
            Matrix::Quantised(matrix) => matrix.kind,
        }
    }
}

impl Parameters for Linear {
    fn map_tensors(&self, make: &mut MakeTensor<'_>) -> Result<Self, TchError> {
        let weight = match &self.weight {
            Matrix::Native(weight) => Matrix::Native(make(weight)?),
            Matrix::Quantised(matrix) => Matrix::Quantised(matrix.map_tensors(make)?),
        };
        let bias = self.bias.map_tensors(make)?;
        Ok(Self { weight, bias })
    }
}
