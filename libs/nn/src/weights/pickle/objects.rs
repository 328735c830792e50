//! Calls, and the two kinds of object they may make: storages and tensors.

use super::{ElementType, Global, Id, Machine, Value};

/// Most axes of a tensor.
const MAX_AXES: usize = 16;
/// Most arguments of a call: the longest known one has seven.
const MAX_ARGUMENTS: usize = 16;
/// Longest name of a record, in bytes: torch numbers them.
const MAX_KEY_BYTES: usize = 256;

/// A record of raw numbers in the checkpoint.
#[derive(Clone, Debug)]
pub(in super::super) struct StorageRef<'a> {
    /// Name of the record.
    pub(in super::super) key: &'a str,
    /// The type of the numbers; absent when `length` counts bytes.
    pub(in super::super) element: Option<ElementType>,
    /// Numbers, or bytes if they have no type.
    pub(in super::super) length: u64,
}

/// A view of a storage. Nothing of it is checked yet.
#[derive(Clone, Debug)]
pub(in super::super) struct TensorRef<'a> {
    pub(in super::super) storage: StorageRef<'a>,
    pub(in super::super) element: ElementType,
    /// First number.
    pub(in super::super) offset: u64,
    pub(in super::super) shape: Vec<i64>,
    pub(in super::super) strides: Vec<i64>,
}

impl<'a> Machine<'a> {
    /// REDUCE and NEWOBJ: a known object is called with a tuple.
    pub(super) fn call(&mut self) -> Result<(), String> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        // Borrowed: a long tuple that is copied for each of many calls would cost the square of the file.
        let arguments: &[Id] = match self.values.get(arguments) {
            Some(Value::Tuple(items)) if items.len() <= MAX_ARGUMENTS => items,
            Some(Value::Tuple(_)) => {
                return Err(format!(
                    "the pickle makes a call with more than {MAX_ARGUMENTS} arguments"
                ));
            }
            _ => return Err("the pickle calls with something that is no tuple".to_owned()),
        };
        let value = match self.values.get(callable) {
            Some(Value::Global(Global::OrderedDict)) if arguments.is_empty() => {
                Value::Dict(Vec::new())
            }
            Some(Value::Global(Global::RebuildTensor)) => {
                Value::Tensor(self.tensor(arguments, None)?)
            }
            Some(Value::Global(Global::RebuildTypedTensor)) => {
                let element = self.element(arguments.get(6))?;
                Value::Tensor(self.tensor(arguments, Some(element))?)
            }
            Some(Value::Global(Global::RebuildParameter)) => {
                match arguments.first().and_then(|&id| self.values.get(id)) {
                    Some(Value::Tensor(tensor)) => Value::Tensor(tensor.clone()),
                    _ => return Err("the pickle has a parameter without a tensor".to_owned()),
                }
            }
            _ => return Err("the pickle calls something that cannot be called so".to_owned()),
        };
        self.push(value)
    }

    /// BUILD: attributes of a dictionary, such as `_metadata` of a module's state, are dropped.
    pub(super) fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        self.dict().map(|_| ())
    }

    /// BINPERSID: `("storage", class, record, device, length)`.
    pub(super) fn persistent(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let items: &[Id] = match self.values.get(id) {
            Some(Value::Tuple(items)) => items,
            _ => &[],
        };
        let found = |index: usize| items.get(index).and_then(|&id| self.values.get(id));
        let (
            Some(Value::Text("storage")),
            Some(Value::Global(Global::Storage(element))),
            Some(&Value::Text(key)),
            Some(&Value::Int(length)),
        ) = (found(0), found(1), found(2), found(4))
        else {
            return Err("the pickle refers to something that is no storage".to_owned());
        };
        let length = u64::try_from(length).map_err(|_| "a storage has a negative length")?;
        if key.len() > MAX_KEY_BYTES {
            return Err("a storage has a name that is too long".to_owned());
        }
        let element = element.clone();
        self.push(Value::Storage(StorageRef {
            key,
            element,
            length,
        }))
    }

    /// `(storage, offset, shape, strides, ...)`
    fn tensor(
        &self,
        arguments: &[Id],
        element: Option<ElementType>,
    ) -> Result<TensorRef<'a>, String> {
        let found = |index: usize| arguments.get(index).and_then(|&id| self.values.get(id));
        let (Some(Value::Storage(storage)), Some(&Value::Int(offset))) = (found(0), found(1))
        else {
            return Err("the pickle has a tensor without a storage".to_owned());
        };
        let element = element.or_else(|| storage.element.clone());
        Ok(TensorRef {
            storage: storage.clone(),
            element: element.ok_or("the pickle has a tensor without a type")?,
            offset: u64::try_from(offset).map_err(|_| "a tensor has a negative offset")?,
            shape: self.sizes(found(2))?,
            strides: self.sizes(found(3))?,
        })
    }

    fn sizes(&self, value: Option<&Value<'a>>) -> Result<Vec<i64>, String> {
        let items = match value {
            Some(Value::Tuple(items)) if items.len() <= MAX_AXES => items,
            _ => return Err("the pickle has a tensor without a shape".to_owned()),
        };
        let size = |id: &Id| match self.values.get(*id) {
            Some(&Value::Int(size)) if size >= 0 => Ok(size),
            _ => Err("the pickle has a shape that is no tuple of sizes".to_owned()),
        };
        items.iter().map(size).collect()
    }

    fn element(&self, id: Option<&Id>) -> Result<ElementType, String> {
        match id.and_then(|&id| self.values.get(id)) {
            Some(Value::Global(Global::ElementType(element))) => Ok(element.clone()),
            _ => Err("the pickle has a tensor whose type is no type".to_owned()),
        }
    }
}
