use std::cell::Cell;
use std::rc::Rc;

use kinora_nn::parameters::MakeTensor;
use tch::{Kind, Tensor};

use super::*;

/// A block that counts how many of its kind are alive, the original included.
#[derive(Debug)]
struct Counted {
    value: Tensor,
    alive: Rc<Cell<usize>>,
}

impl Counted {
    fn new(value: Tensor, alive: &Rc<Cell<usize>>) -> Self {
        alive.set(alive.get() + 1);
        let alive = Rc::clone(alive);
        Self { value, alive }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

impl Parameters for Counted {
    fn map_tensors(&self, make: &mut MakeTensor<'_>) -> Result<Self, TchError> {
        Ok(Self::new(make(&self.value)?, &self.alive))
    }
}

#[derive(Debug)]
struct Stack {
    shell: Tensor,
    blocks: Blocks<Counted>,
}

kinora_nn::parameters!(Stack { shell, blocks; });

impl Network for Stack {
    fn swap_blocks(&mut self, device: Device) {
        self.blocks.swap_to(device);
    }
}

fn stack(count: i64) -> (Stack, Rc<Cell<usize>>) {
    let alive = Rc::default();
    let block = |index| Counted::new(Tensor::from_slice(&[index]), &alive);
    let blocks = Blocks::new((0..count).map(block).collect());
    let shell = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    (Stack { shell, blocks }, alive)
}

fn values(stack: &Stack) -> Vec<i64> {
    let value = |block: BlockOnDeviceOf<'_>| block.value.int64_value(&[0]);
    stack.blocks.iter().map(value).collect()
}

type BlockOnDeviceOf<'a> = super::blocks::BlockOnDevice<'a, Counted>;

fn placed(residency: Residency) -> (Placed<Stack>, Rc<Cell<usize>>) {
    let (stack, alive) = stack(5);
    (Placed::new(stack, residency, Device::Cpu).unwrap(), alive)
}

#[test]
fn every_policy_runs_the_same_blocks() {
    for residency in Residency::ALL {
        let (placed, _) = placed(residency);
        let entered = placed.enter().unwrap();
        assert_eq!(values(&entered), [0, 1, 2, 3, 4], "{residency}");
    }
}

#[test]
fn a_resident_network_is_not_copied() {
    let (placed, alive) = placed(Residency::Resident);
    let entered = placed.enter().unwrap();
    assert_eq!(alive.get(), 5);
    assert_eq!(entered.shell.data_ptr(), placed.network.shell.data_ptr());
}

#[test]
fn a_visiting_network_is_a_copy_that_leaves_with_its_stage() {
    let (placed, alive) = placed(Residency::StageOffload);
    let entered = placed.enter().unwrap();
    assert_eq!(alive.get(), 10);
    assert_ne!(entered.shell.data_ptr(), placed.network.shell.data_ptr());
    drop(entered);
    assert_eq!(alive.get(), 5);
}

#[test]
fn a_visiting_network_leaves_when_its_stage_panics() {
    let (placed, alive) = placed(Residency::StageOffload);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let entered = placed.enter().unwrap();
        assert_eq!(entered.shell.size(), [99], "a shape error");
    }));
    assert!(outcome.is_err());
    assert_eq!(alive.get(), 5);
}

#[test]
fn swapped_blocks_are_on_the_device_two_at_a_time() {
    let (placed, alive) = placed(Residency::BlockSwap);
    let entered = placed.enter().unwrap();
    let handles = alive.get(); // the originals, and the handles on them in the visiting network
    let counts: Vec<usize> = entered
        .blocks
        .iter()
        .map(|_present| alive.get() - handles)
        .collect();
    assert_eq!(counts, [2, 2, 2, 2, 1]);
    assert_eq!(alive.get(), handles);
    drop(entered);
    assert_eq!(alive.get(), 5);
}

#[test]
fn names_are_read_back() {
    for residency in Residency::ALL {
        assert_eq!(residency.to_string().parse(), Ok(residency));
    }
    assert!("everywhere".parse::<Residency>().is_err());
}
