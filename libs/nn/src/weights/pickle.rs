//! Reads the pickles that `torch.save` writes, and runs nothing.
//!
//! A pickle is a program for a small stack machine. This one knows the instructions that build
//! numbers, texts, tuples, lists and dictionaries. Names of Python objects are looked up in a fixed
//! list ([`globals`]); every other name ends the reading with an error. Values lie in one table and
//! refer to each other by index, so that neither nesting nor cycles cost stack, and what can be built
//! is bounded by the number of instructions.

mod globals;
mod objects;

use std::collections::HashMap;

pub(super) use self::globals::{ElementType, Global};
pub(super) use self::objects::{StorageRef, TensorRef};

/// Longest pickle accepted, in bytes. Those of the largest models have less than one megabyte.
pub(super) const MAX_BYTES: u64 = 64 << 20;
/// Most instructions accepted: about fifty times what the largest known checkpoint has.
const MAX_STEPS: usize = 1 << 20;

/// The place of a value in the table.
pub(super) type Id = usize;

/// What a pickle can build.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// None, a truth value, a fraction or bytes: nothing that weights need.
    Other,
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(StorageRef<'a>),
    Tensor(TensorRef<'a>),
}

/// What a pickle built.
#[derive(Debug)]
pub(super) struct Unpickled<'a> {
    values: Vec<Value<'a>>,
    top: Id,
}

impl<'a> Unpickled<'a> {
    /// Runs a pickle.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine = Machine {
            bytes,
            ..Machine::default()
        };
        for _ in 0..MAX_STEPS {
            let operation = machine.take(1)?[0];
            if operation == b'.' {
                let top = machine.pop()?;
                let values = machine.values;
                return Ok(Self { values, top });
            }
            machine.run(operation)?;
        }
        Err(format!("the pickle has more than {MAX_STEPS} instructions"))
    }

    /// The outermost value.
    pub(super) fn top(&self) -> Id {
        self.top
    }

    pub(super) fn value(&self, id: Id) -> Option<&Value<'a>> {
        self.values.get(id)
    }

    /// The pairs of a dictionary, if the value is one.
    pub(super) fn pairs(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.value(id) {
            Some(Value::Dict(pairs)) => Some(pairs),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    /// What has not been read yet.
    bytes: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at the marks.
    marks: Vec<usize>,
    /// A map, because the pickle chooses the numbers.
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    /// Runs one instruction; the letters are those of Python's `pickletools`. It is longer than others
    /// because the list of what is known is best read in one place.
    fn run(&mut self, operation: u8) -> Result<(), String> {
        match operation {
            0x80 => self.take(1).map(drop),                             // PROTO
            0x95 => self.take(8).map(drop),                             // FRAME
            b'(' => self.mark(),                                        // MARK
            b'N' | 0x88 | 0x89 => self.push(Value::Other),              // NONE NEWTRUE NEWFALSE
            b'G' => self.take(8).and_then(|_| self.push(Value::Other)), // BINFLOAT
            b'K' => self.unsigned(1).and_then(|n| self.integer(n)),     // BININT1
            b'M' => self.unsigned(2).and_then(|n| self.integer(n)),     // BININT2
            b'J' => self.signed_int(),                                  // BININT
            0x8a => self.long(),                                        // LONG1
            b'X' => self.text(4),                                       // BINUNICODE
            0x8c => self.text(1),                                       // SHORT_BINUNICODE
            0x8d => self.text(8),                                       // BINUNICODE8
            b'U' => self.text(1),                                       // SHORT_BINSTRING
            b'T' => self.text(4),                                       // BINSTRING
            b')' => self.push(Value::Tuple(Vec::new())),                // EMPTY_TUPLE
            b']' => self.push(Value::List(Vec::new())),                 // EMPTY_LIST
            b'}' => self.push(Value::Dict(Vec::new())),                 // EMPTY_DICT
            0x85 => self.tuple(1),                                      // TUPLE1
            0x86 => self.tuple(2),                                      // TUPLE2
            0x87 => self.tuple(3),                                      // TUPLE3
            b't' => self.marked().and_then(|ids| self.push(Value::Tuple(ids))), // TUPLE
            b'l' => self.marked().and_then(|ids| self.push(Value::List(ids))), // LIST
            b'a' => self.append(),                                      // APPEND
            b'e' => self.append_marked(),                               // APPENDS
            b's' => self.set_item(),                                    // SETITEM
            b'u' => self.set_marked(),                                  // SETITEMS
            b'0' => self.pop().map(drop),                               // POP
            b'1' => self.marked().map(drop),                            // POP_MARK
            b'2' => self.duplicate(),                                   // DUP
            b'q' => self.unsigned(1).and_then(|key| self.remember(key)), // BINPUT
            b'r' => self.unsigned(4).and_then(|key| self.remember(key)), // LONG_BINPUT
            0x94 => self.remember(self.memo.len() as u64),              // MEMOIZE
            b'h' => self.unsigned(1).and_then(|key| self.recall(key)),  // BINGET
            b'j' => self.unsigned(4).and_then(|key| self.recall(key)),  // LONG_BINGET
            b'c' => self.named_global(),                                // GLOBAL
            0x93 => self.stacked_global(),                              // STACK_GLOBAL
            b'R' | 0x81 => self.call(),                                 // REDUCE NEWOBJ
            b'b' => self.build(),                                       // BUILD
            b'Q' => self.persistent(),                                  // BINPERSID
            other => Err(format!(
                "the pickle has an instruction {other:#04x} that weights do not need"
            )),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let parts = self.bytes.split_at_checked(count);
        let (taken, rest) = parts.ok_or("the pickle ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn unsigned(&mut self, bytes: usize) -> Result<u64, String> {
        let taken = self.take(bytes)?.iter().rev();
        Ok(taken.fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn integer(&mut self, value: u64) -> Result<(), String> {
        let value = i64::try_from(value).map_err(|error| error.to_string())?;
        self.push(Value::Int(value))
    }

    fn signed_int(&mut self) -> Result<(), String> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        self.push(Value::Int(i64::from(i32::from_le_bytes(bytes))))
    }

    /// An integer of any length, in two's complement; more than 64 bits are refused.
    fn long(&mut self) -> Result<(), String> {
        let length = usize::try_from(self.unsigned(1)?).unwrap_or(usize::MAX);
        let digits = self.take(length)?;
        if digits.len() > 8 {
            return Err("the pickle has an integer of more than 64 bits".to_owned());
        }
        let negative = digits.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut bytes = [if negative { 0xff } else { 0 }; 8];
        bytes[..digits.len()].copy_from_slice(digits);
        self.push(Value::Int(i64::from_le_bytes(bytes)))
    }

    fn text(&mut self, length_bytes: usize) -> Result<(), String> {
        let length = usize::try_from(self.unsigned(length_bytes)?).unwrap_or(usize::MAX);
        let text = std::str::from_utf8(self.take(length)?);
        self.push(Value::Text(text.map_err(|error| error.to_string())?))
    }

    fn top(&self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or_default();
        let top = self.stack.get(floor..).and_then(<[Id]>::last);
        top.copied()
            .ok_or_else(|| "the pickle takes from an empty stack".to_owned())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn mark(&mut self) -> Result<(), String> {
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Everything above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let floor = self
            .marks
            .pop()
            .ok_or("the pickle has no mark to go back to")?;
        if floor > self.stack.len() {
            return Err("the pickle goes below a mark".to_owned());
        }
        Ok(self.stack.split_off(floor))
    }

    fn duplicate(&mut self) -> Result<(), String> {
        self.stack.push(self.top()?);
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn append(&mut self) -> Result<(), String> {
        let item = self.pop()?;
        self.list()?.push(item);
        Ok(())
    }

    fn append_marked(&mut self) -> Result<(), String> {
        let items = self.marked()?;
        self.list()?.extend(items);
        Ok(())
    }

    fn set_item(&mut self) -> Result<(), String> {
        let (value, key) = (self.pop()?, self.pop()?);
        self.dict()?.push((key, value));
        Ok(())
    }

    fn set_marked(&mut self) -> Result<(), String> {
        let items = self.marked()?;
        if items.len() % 2 != 0 {
            return Err("the pickle has a key without a value".to_owned());
        }
        let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        self.dict()?.extend(pairs);
        Ok(())
    }

    fn list(&mut self) -> Result<&mut Vec<Id>, String> {
        match self.top().map(|id| self.values.get_mut(id))? {
            Some(Value::List(items)) => Ok(items),
            _ => Err("the pickle appends to something that is no list".to_owned()),
        }
    }

    fn dict(&mut self) -> Result<&mut Vec<(Id, Id)>, String> {
        match self.top().map(|id| self.values.get_mut(id))? {
            Some(Value::Dict(pairs)) => Ok(pairs),
            _ => Err("the pickle sets items of something that is no dictionary".to_owned()),
        }
    }

    fn remember(&mut self, key: u64) -> Result<(), String> {
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), String> {
        let id = self.memo.get(&key);
        let id = id.ok_or_else(|| format!("the pickle recalls {key}, which it never stored"))?;
        self.stack.push(*id);
        Ok(())
    }
}
