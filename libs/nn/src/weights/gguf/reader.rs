//! Reading numbers and texts from the front of a file, never more than there is.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Read};

use super::super::WeightsError;
use super::super::entry::SourceFile;

/// Longest name of a key or tensor, in bytes.
const MAX_NAME_BYTES: u64 = 65_535;
/// Longest text among the values, in bytes: chat templates are the longest that there are.
const MAX_TEXT_BYTES: u64 = 16 << 20;
/// Values that all arrays together may have: five times the largest vocabulary with its merges.
const MAX_ITEMS: u64 = 1 << 22;

/// A position in a file.
pub(super) struct Reader<'a> {
    file: &'a SourceFile,
    input: BufReader<&'a File>,
    position: u64,
    items_left: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a SourceFile) -> Self {
        Self {
            file,
            input: BufReader::new(&file.file),
            position: 0,
            items_left: MAX_ITEMS,
        }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WeightsError> {
        let mut bytes = [0; N];
        let result = self.input.read_exact(&mut bytes);
        result.map_err(|error| self.corrupt(error))?;
        self.position += N as u64;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WeightsError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, WeightsError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The name of a key or a tensor.
    pub(super) fn name(&mut self) -> Result<String, WeightsError> {
        self.text_up_to(MAX_NAME_BYTES)
    }

    /// A text among the values.
    pub(super) fn text(&mut self) -> Result<String, WeightsError> {
        self.text_up_to(MAX_TEXT_BYTES)
    }

    fn text_up_to(&mut self, most: u64) -> Result<String, WeightsError> {
        let length = self.u64()?;
        if length > most || length > self.left() {
            return Err(self.corrupt(format!("a text in it claims {length} bytes")));
        }
        let size = usize::try_from(length).map_err(|error| self.corrupt(error))?;
        let mut bytes = vec![0; size];
        let result = self.input.read_exact(&mut bytes);
        result.map_err(|error| self.corrupt(error))?;
        self.position += length;
        String::from_utf8(bytes).map_err(|error| self.corrupt(error))
    }

    /// Takes the items of an array, `size` bytes each at least, from what all arrays may have.
    pub(super) fn take_items(&mut self, count: u64, size: u64) -> Result<usize, WeightsError> {
        self.check_count(count, size, "values in an array")?;
        let left = self.items_left.checked_sub(count);
        self.items_left = left.ok_or_else(|| self.corrupt("its metadata has too many values"))?;
        usize::try_from(count).map_err(|error| self.corrupt(error))
    }

    /// Fails if so many things, `size` bytes each at least, do not fit into what is left of the file.
    pub(super) fn check_count(
        &self,
        count: u64,
        size: u64,
        what: &str,
    ) -> Result<(), WeightsError> {
        let bytes = count.checked_mul(size);
        if bytes.is_some_and(|bytes| bytes <= self.left()) {
            return Ok(());
        }
        Err(self.corrupt(format!("it claims {count} {what}, more than fit into it")))
    }

    pub(super) fn corrupt(&self, reason: impl Display) -> WeightsError {
        self.file.corrupt(reason)
    }

    fn left(&self) -> u64 {
        self.file.length.saturating_sub(self.position)
    }
}
