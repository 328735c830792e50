//! The tensors of a layer or network, in a fixed order: to copy, count or move them.

use tch::{Device, TchError, Tensor};

/// Makes a tensor of a new layer from a tensor of an existing one.
pub type MakeTensor<'a> = dyn FnMut(&Tensor) -> Result<Tensor, TchError> + 'a;

/// A layer or network that can be made again from other tensors of the same shapes.
///
/// A copy is a value of its own: dropping it frees its tensors and nothing else. That is how weights
/// leave a device again, whether a stage ended well, with an error or with a panic.
pub trait Parameters: Sized {
    /// The same layer with tensors made from this one's, one after the other in a fixed order.
    ///
    /// # Errors
    /// The first error of `make`.
    fn map_tensors(&self, make: &mut MakeTensor<'_>) -> Result<Self, TchError>;

    /// A copy on `device`, in the same types and memory orders, even if the original is there too.
    ///
    /// From pinned memory to a CUDA device the copies are only enqueued on the current stream.
    ///
    /// # Errors
    /// libtorch could not allocate it.
    fn copy_to(&self, device: Device) -> Result<Self, TchError> {
        self.map_tensors(&mut |tensor| tensor.f_to_device_(device, tensor.kind(), true, true))
    }

    /// Replaces the data of every tensor, one after the other, also as seen through other handles: the
    /// memory of one tensor is needed besides the layer's, not that of all of them.
    ///
    /// # Errors
    /// The first error of `make`; the tensors before it keep their new data.
    fn replace_data(&self, make: &mut MakeTensor<'_>) -> Result<(), TchError> {
        self.map_tensors(&mut |tensor| {
            let mut handle = tensor.shallow_clone();
            handle.f_set_data(&make(tensor)?)?;
            Ok(handle)
        })?;
        Ok(())
    }

    /// Moves the layer to page-locked host memory, from which `device` reads without the processor.
    ///
    /// # Errors
    /// There is no CUDA device, or not enough memory to lock.
    fn pin(&self, device: Device) -> Result<(), TchError> {
        self.replace_data(&mut |tensor| tensor.f_pin_memory(device))
    }

    /// A second handle on the same tensors.
    ///
    /// # Errors
    /// None in practice; the signature is that of [`Parameters::map_tensors`].
    fn shared(&self) -> Result<Self, TchError> {
        self.map_tensors(&mut |tensor| Ok(tensor.shallow_clone()))
    }

    /// Bytes that the tensors take.
    ///
    /// # Errors
    /// As [`Parameters::shared`].
    fn parameter_bytes(&self) -> Result<u64, TchError> {
        let mut bytes = 0;
        self.map_tensors(&mut |tensor| {
            bytes += tensor.numel() * tensor.kind().elt_size_in_bytes();
            Ok(tensor.shallow_clone())
        })?;
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

impl Parameters for Tensor {
    fn map_tensors(&self, make: &mut MakeTensor<'_>) -> Result<Self, TchError> {
        make(self)
    }
}

impl<P: Parameters> Parameters for Option<P> {
    fn map_tensors(&self, make: &mut MakeTensor<'_>) -> Result<Self, TchError> {
        self.as_ref()
            .map(|inner| inner.map_tensors(make))
            .transpose()
    }
}

impl<P: Parameters> Parameters for Vec<P> {
    fn map_tensors(&self, make: &mut MakeTensor<'_>) -> Result<Self, TchError> {
        self.iter().map(|inner| inner.map_tensors(make)).collect()
    }
}

/// Implements [`Parameters`] for a struct: `parameters!(Type { layers; settings })`.
///
/// Before the semicolon stand the fields that hold tensors, in their order; after it the fields that
/// are cloned as they are. A field that is left out does not compile.
#[macro_export]
macro_rules! parameters {
    ($type:ident { $($layer:ident),* ; $($setting:ident),* }) => {
        impl $crate::Parameters for $type {
            fn map_tensors(
                &self,
                make: &mut $crate::parameters::MakeTensor<'_>,
            ) -> Result<Self, $crate::TchError> {
                Ok(Self {
                    $($layer: $crate::Parameters::map_tensors(&self.$layer, make)?,)*
                    $($setting: Clone::clone(&self.$setting),)*
                })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::{Linear, WeightFormat};

    fn layer() -> Linear {
        let options = (Kind::Float, Device::Cpu);
        Linear::new(
            Tensor::randn([6, 4], options),
            Some(Tensor::randn([6], options)),
        )
    }

    #[test]
    fn a_copy_computes_the_same_and_shares_nothing() {
        let (layer, input) = (layer(), Tensor::ones([2, 4], (Kind::Float, Device::Cpu)));
        let expected = layer.forward(&input);
        let copy = layer.copy_to(Device::Cpu).unwrap();
        let _ = layer.weight().zero_();
        assert_eq!(copy.forward(&input), expected);
        assert_ne!(layer.forward(&input), expected);
    }

    #[test]
    fn a_second_handle_shares_the_tensors() {
        let (layers, input) = (
            vec![layer()],
            Tensor::ones([2, 4], (Kind::Float, Device::Cpu)),
        );
        let shared = layers.shared().unwrap();
        let _ = layers[0].weight().zero_();
        assert_eq!(shared[0].forward(&input), layers[0].forward(&input));
    }

    #[test]
    fn replaced_data_is_seen_through_every_handle() {
        let (layer, input) = (layer(), Tensor::ones([2, 4], (Kind::Float, Device::Cpu)));
        let (shared, before) = (layer.shared().unwrap(), layer.weight().data_ptr());
        let expected = layer.forward(&input) * 2.0;
        layer
            .replace_data(&mut |tensor| tensor.f_mul_scalar(2.0))
            .unwrap();
        assert_ne!(layer.weight().data_ptr(), before);
        assert_eq!(shared.weight().data_ptr(), layer.weight().data_ptr());
        assert_eq!(shared.forward(&input), expected);
    }

    #[test]
    fn bytes_follow_the_storage() {
        let mut layer = layer();
        assert_eq!(layer.parameter_bytes().unwrap(), (24 + 6) * 4);
        layer.quantise(WeightFormat::Int8).unwrap();
        assert_eq!(layer.parameter_bytes().unwrap(), 24 + 6 * 4 + 6 * 4);
    }

    #[test]
    fn the_first_error_ends_the_mapping() {
        let mut calls = 0;
        let failed = layer().map_tensors(&mut |tensor| {
            calls += 1;
            tensor.f_view([7]) // neither tensor has seven elements
        });
        assert!(failed.is_err());
        assert_eq!(calls, 1);
    }
}
