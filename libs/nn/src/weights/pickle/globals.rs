//! The names that a pickle of weights may mention. There is no other list, and no way around it.

use super::super::entry::StoredType;
use super::{Machine, Value};

/// Longest name accepted in an instruction, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// A Python object that checkpoints of weights refer to.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Global {
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`: the storage knows the type.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`: the type is an argument.
    RebuildTypedTensor,
    /// `torch._utils._rebuild_parameter`: a tensor in a wrapper.
    RebuildParameter,
    /// A class of storages; bytes without a type when absent.
    Storage(Option<ElementType>),
    ElementType(ElementType),
}

/// The type of a tensor's numbers and what one takes.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct ElementType {
    pub(in super::super) stored: StoredType,
    pub(in super::super) bytes: u64,
}

impl Global {
    fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_tensor_v3") => Some(Self::RebuildTypedTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch.storage", "UntypedStorage") => Some(Self::Storage(None)),
            ("torch", class) => match storage_type(class) {
                Some(element) => Some(Self::Storage(Some(element))),
                None => element_type(class).map(Self::ElementType),
            },
            _ => None,
        }
    }
}

fn storage_type(class: &str) -> Option<ElementType> {
    let element = match class {
        "DoubleStorage" => "float64",
        "FloatStorage" => "float32",
        "HalfStorage" => "float16",
        "BFloat16Storage" => "bfloat16",
        "LongStorage" => "int64",
        "IntStorage" => "int32",
        "ShortStorage" => "int16",
        "CharStorage" => "int8",
        "ByteStorage" => "uint8",
        "BoolStorage" => "bool",
        _ => return None,
    };
    element_type(element)
}

fn element_type(name: &str) -> Option<ElementType> {
    let (stored, bytes) = match name {
        "float64" => (StoredType::F64, 8),
        "float32" => (StoredType::F32, 4),
        "float16" => (StoredType::F16, 2),
        "bfloat16" => (StoredType::BF16, 2),
        "float8_e4m3fn" => (StoredType::F8E4M3, 1),
        "float8_e5m2" => (StoredType::F8E5M2, 1),
        "int64" => (StoredType::Other("I64"), 8),
        "int32" => (StoredType::Other("I32"), 4),
        "int16" => (StoredType::Other("I16"), 2),
        "int8" => (StoredType::Other("I8"), 1),
        "uint8" => (StoredType::Other("U8"), 1),
        "bool" => (StoredType::Other("BOOL"), 1),
        _ => return None,
    };
    Some(ElementType { stored, bytes })
}

impl<'a> Machine<'a> {
    /// GLOBAL: module and name follow, a line each.
    pub(super) fn named_global(&mut self) -> Result<(), String> {
        let (module, name) = (self.line()?, self.line()?);
        self.push_global(module, name)
    }

    /// STACK_GLOBAL: module and name are on the stack.
    pub(super) fn stacked_global(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.values.get(module), self.values.get(name)) {
            (Some(&Value::Text(module)), Some(&Value::Text(name))) => {
                self.push_global(module, name)
            }
            _ => Err("the pickle names an object by something that is no text".to_owned()),
        }
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let global = Global::find(module, name).ok_or_else(|| {
            let short = |text: &str| text.chars().take(MAX_NAME_BYTES).collect::<String>();
            let (module, name) = (short(module), short(name));
            format!("the pickle wants {module}.{name}, which weights do not need; it was not run")
        })?;
        self.push(Value::Global(global))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let length = self
            .bytes
            .iter()
            .take(MAX_NAME_BYTES)
            .position(|&byte| byte == b'\n');
        let length = length.ok_or("the pickle has a name that does not end")?;
        let line = self.take(length)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|error| error.to_string())
    }
}
