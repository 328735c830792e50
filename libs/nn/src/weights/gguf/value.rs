//! Values of the metadata.

use super::super::WeightsError;
use super::reader::Reader;

/// Arrays within arrays that are read.
const MAX_DEPTH: u32 = 4;
/// The type of texts in the file.
const TEXT: u32 = 8;
/// The type of arrays in the file.
const ARRAY: u32 = 9;

/// A value of the metadata. Integers and floats of all widths are held in the widest.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufValue {
    /// An integer stored without a sign.
    Unsigned(u64),
    /// An integer stored with a sign.
    Signed(i64),
    /// A float.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(String),
    /// Values of one type.
    Array(Vec<GgufValue>),
}

impl GgufValue {
    /// The value as an integer that is not negative, if it is one.
    #[must_use]
    pub fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(*value),
            Self::Signed(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The value as a float, if it is a number.
    #[must_use]
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Unsigned(value) => Some(*value as f64),
            Self::Signed(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The value as a truth value, if it is one.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The value as a text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The values of an array, if it is one.
    #[must_use]
    pub fn array(&self) -> Option<&[GgufValue]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    /// Reads a type and a value of it.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WeightsError> {
        let type_id = reader.u32()?;
        Self::read_as(reader, type_id, 0)
    }

    fn read_as(reader: &mut Reader<'_>, type_id: u32, depth: u32) -> Result<Self, WeightsError> {
        Ok(match type_id {
            0 => Self::Unsigned(u8::from_le_bytes(reader.array()?).into()),
            1 => Self::Signed(i8::from_le_bytes(reader.array()?).into()),
            2 => Self::Unsigned(u16::from_le_bytes(reader.array()?).into()),
            3 => Self::Signed(i16::from_le_bytes(reader.array()?).into()),
            4 => Self::Unsigned(reader.u32()?.into()),
            5 => Self::Signed(i32::from_le_bytes(reader.array()?).into()),
            6 => Self::Float(f32::from_le_bytes(reader.array()?).into()),
            7 => Self::read_bool(reader)?,
            TEXT => Self::Text(reader.text()?),
            ARRAY => Self::read_array(reader, depth)?,
            10 => Self::Unsigned(reader.u64()?),
            11 => Self::Signed(i64::from_le_bytes(reader.array()?)),
            12 => Self::Float(f64::from_le_bytes(reader.array()?)),
            _ => return Err(reader.corrupt(format!("no value is of type {type_id}"))),
        })
    }

    fn read_bool(reader: &mut Reader<'_>) -> Result<Self, WeightsError> {
        match reader.array::<1>()? {
            [0] => Ok(Self::Bool(false)),
            [1] => Ok(Self::Bool(true)),
            [other] => Err(reader.corrupt(format!("a truth value in it is {other}"))),
        }
    }

    fn read_array(reader: &mut Reader<'_>, depth: u32) -> Result<Self, WeightsError> {
        if depth >= MAX_DEPTH {
            return Err(reader.corrupt("arrays in it are nested too deep"));
        }
        let type_id = reader.u32()?;
        let count = reader.u64()?;
        let count = reader.take_items(count, least_bytes(type_id))?;
        // What is claimed fits into the file, but grows as it is read all the same: a value takes more
        // memory than its bytes.
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(Self::read_as(reader, type_id, depth + 1)?);
        }
        Ok(Self::Array(values))
    }
}

/// Bytes that a value of a type has at least.
fn least_bytes(type_id: u32) -> u64 {
    match type_id {
        2 | 3 => 2,
        4..=6 => 4,
        TEXT | 10..=12 => 8,
        ARRAY => 12,
        _ => 1,
    }
}
