//! What a core knows of function types: the states their functions asked for since the start.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::keys::AddressKey;
use super::state::StateSpec;

/// Index of a function type within one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TypeId(usize);

/// How far the acquaintance with a type has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Acquaintance {
    /// No call was made.
    New,
    /// This address makes the first call; others of the type wait.
    Asking(AddressKey),
    /// Its states are known.
    Known,
}

/// Counters of one type since the start. Names and meanings follow StateFun's metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TypeCounters {
    /// Messages that were applied.
    pub incoming: u64,
    /// Calls that succeeded.
    pub invocations: u64,
    /// Messages sent to other functions of the same core.
    pub out_local: u64,
    /// Messages sent to other functions of other cores.
    pub out_remote: u64,
    /// Egress records.
    pub out_egress: u64,
    /// Failed batches.
    pub failures: u64,
}

/// One function type.
#[derive(Debug)]
pub(super) struct FunctionType {
    /// Namespace and name as they stand in keys.
    pub(super) prefix: Bytes,
    /// How far the acquaintance has come.
    pub(super) acquaintance: Acquaintance,
    /// Addresses that wait for it.
    pub(super) queue: VecDeque<AddressKey>,
    /// The states that go with every request, in the order in which they were asked for.
    pub(super) states: Vec<StateSpec>,
    /// Counters since the start.
    pub(super) counters: TypeCounters,
}

impl FunctionType {
    /// The state of this name.
    pub(super) fn state(&self, name: &str) -> Option<&StateSpec> {
        self.states.iter().find(|state| state.name == name)
    }
}

/// All types that were seen since the start.
#[derive(Debug, Default)]
pub(super) struct FunctionTypes {
    ids: HashMap<Bytes, TypeId>,
    types: Vec<FunctionType>,
}

impl FunctionTypes {
    /// The type of `address`.
    pub(super) fn of(&mut self, address: &AddressKey) -> TypeId {
        if let Some(id) = self.ids.get(address.type_prefix()) {
            return *id;
        }
        let prefix = Bytes::copy_from_slice(address.type_prefix());
        let id = TypeId(self.types.len());
        self.ids.insert(prefix.clone(), id);
        self.types.push(FunctionType {
            prefix,
            acquaintance: Acquaintance::New,
            queue: VecDeque::new(),
            states: Vec::new(),
            counters: TypeCounters::default(),
        });
        id
    }

    /// The type with this index.
    pub(super) fn get(&self, id: TypeId) -> &FunctionType {
        self.types
            .get(id.0)
            .expect("ids are given out by this table")
    }

    /// The type with this index.
    pub(super) fn get_mut(&mut self, id: TypeId) -> &mut FunctionType {
        self.types
            .get_mut(id.0)
            .expect("ids are given out by this table")
    }

    /// All types.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FunctionType> {
        self.types.iter()
    }
}
