//! Weight-only quantisation: matrices stored in eight bits, multiplied in the compute type.

use std::fmt;
use std::str::FromStr;

use tch::{Kind, TchError, Tensor};

use crate::parameters;

/// Largest value of an eight-bit integer that is used: the range is symmetric.
const INT8_LIMIT: f64 = 127.0;
/// Largest value of an eight-bit float with four exponent and three mantissa bits.
const FP8_LIMIT: f64 = 448.0;
/// Smallest scale: a row of zeros is not divided by zero.
const MIN_SCALE: f64 = 1e-30;

/// How the large matrices of a network are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum WeightFormat {
    /// In the compute type.
    #[default]
    Native,
    /// Eight-bit integers with a scale per output.
    Int8,
    /// Eight-bit floats (e4m3) with a scale per output.
    Fp8,
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Native => "native",
            Self::Int8 => "int8",
            Self::Fp8 => "fp8",
        })
    }
}

impl FromStr for WeightFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Native, Self::Int8, Self::Fp8]
            .into_iter()
            .find(|format| format.to_string() == name)
            .ok_or_else(|| format!("weights must be native, int8 or fp8, not {name}"))
    }
}

/// A matrix in eight bits per element.
#[derive(Debug)]
pub(crate) struct QuantisedMatrix {
    /// `[o, i]`
    values: Tensor,
    /// `[o, 1]`, 32-bit floats that bfloat16 can hold, so that every compute type scales alike.
    scale: Tensor,
    /// The compute type.
    pub(crate) kind: Kind,
}

parameters!(QuantisedMatrix { values, scale; kind });

impl QuantisedMatrix {
    /// Stores `weight`, `[o, i]`, in `format`; `None` if that is its own type.
    pub(crate) fn new(weight: &Tensor, format: WeightFormat) -> Result<Option<Self>, TchError> {
        let (limit, stored) = match format {
            WeightFormat::Native => return Ok(None),
            WeightFormat::Int8 => (INT8_LIMIT, Kind::Int8),
            WeightFormat::Fp8 => (FP8_LIMIT, Kind::Float8e4m3fn),
        };
        let full = weight.f_to_kind(Kind::Float)?;
        let largest = full.f_abs()?.f_amax([1].as_slice(), true)?; // [o, 1]
        let scale = largest.f_div_scalar(limit)?.f_clamp_min(MIN_SCALE)?;
        let scale = scale.f_to_kind(Kind::BFloat16)?.f_to_kind(Kind::Float)?;
        let mut values = full.f_div(&scale)?;
        if format == WeightFormat::Int8 {
            values = values.f_round_()?;
        }
        let values = values.f_clamp_(-limit, limit)?.f_to_kind(stored)?;
        Ok(Some(Self {
            values,
            scale,
            kind: weight.kind(),
        }))
    }

    /// The matrix in the compute type: a temporary of the full size.
    pub(crate) fn dequantise(&self) -> Tensor {
        let scale = self.scale.to_kind(self.kind);
        self.values.to_kind(self.kind).g_mul_(&scale)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    /// Largest error of an element, relative to the largest element of its row.
    fn worst_error(format: WeightFormat, kind: Kind) -> f64 {
        tch::manual_seed(5);
        let weight = Tensor::randn([64, 96], (Kind::Float, Device::Cpu)).to_kind(kind);
        let stored = QuantisedMatrix::new(&weight, format).unwrap().unwrap();
        let found = stored.dequantise();
        assert_eq!(found.kind(), kind);
        let (found, weight) = (found.to_kind(Kind::Float), weight.to_kind(Kind::Float));
        let largest = weight.abs().amax([1].as_slice(), true);
        ((found - weight).abs() / largest).max().double_value(&[])
    }

    #[test]
    fn errors_are_half_a_step_of_the_format() {
        // Half of 1/127; half of a step of three mantissa bits, 1/16.
        assert!(worst_error(WeightFormat::Int8, Kind::Float) < 0.0042);
        assert!(worst_error(WeightFormat::Fp8, Kind::Float) < 0.0364);
        // The compute type rounds once more, to eight mantissa bits.
        assert!(worst_error(WeightFormat::Int8, Kind::BFloat16) < 0.0042 + 0.0040);
        assert!(worst_error(WeightFormat::Fp8, Kind::BFloat16) < 0.0364 + 0.0040);
    }

    #[test]
    fn powers_of_two_are_exact_as_eight_bit_floats() {
        let weight = Tensor::from_slice(&[448.0_f32, -2.0, 0.5, 0.0]).view([1, 4]);
        let stored = QuantisedMatrix::new(&weight, WeightFormat::Fp8).unwrap();
        assert_eq!(stored.unwrap().dequantise(), weight);
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let weight = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        for format in [WeightFormat::Int8, WeightFormat::Fp8] {
            let stored = QuantisedMatrix::new(&weight, format).unwrap().unwrap();
            assert_eq!(stored.dequantise(), weight);
        }
    }

    #[test]
    fn names_are_read_back() {
        for format in [WeightFormat::Native, WeightFormat::Int8, WeightFormat::Fp8] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("int4".parse::<WeightFormat>().is_err());
    }
}
