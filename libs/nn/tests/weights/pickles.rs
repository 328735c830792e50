//! Writing pickles by hand, an instruction at a time.

/// A pickle under construction.
#[derive(Default)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        self.raw(b"X").raw(&length).raw(text.as_bytes())
    }

    pub fn int(self, value: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&value.to_le_bytes())
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(b"c").raw(format!("{module}\n{name}\n").as_bytes())
    }

    pub fn ints(self, values: &[i64]) -> Self {
        let opened = self.raw(b"(");
        values
            .iter()
            .fold(opened, |pickle, &value| pickle.int(value))
            .raw(b"t")
    }

    /// A tensor of 32-bit floats over storage `0` of `length` numbers.
    pub fn tensor(self, length: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"((")
            .text("storage")
            .global("torch", "FloatStorage")
            .text("0")
            .text("cpu")
            .int(length)
            .raw(b"tQ")
            .int(offset)
            .ints(shape)
            .ints(strides)
            .raw(&[0x89])
            .global("collections", "OrderedDict")
            .raw(b")RtR")
    }

    /// A dictionary of one tensor called `a`, and the end.
    pub fn one_tensor(length: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
        let opened = Self::new().raw(b"}(").text("a");
        opened.tensor(length, offset, shape, strides).raw(b"u.").0
    }
}
