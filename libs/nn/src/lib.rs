//! Tensor blocks on libtorch: weights, linear, convolution, norm, attention, rotary positions
