//! The function types of a core, with the states that their functions have declared since the start.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use bytes::Bytes;

use super::declared::Declared;
use super::indices::{Slot, TypeId};
use super::keys::AddressKey;
use super::{Bindings, FunctionBinding};

/// Whether the states of a type are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatesKnown {
    /// No call has been made yet.
    No,
    /// This address makes the first call; others of the type wait.
    Asking(Slot),
    /// Its states are known.
    Yes,
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
    namespace: Box<str>,
    name: Box<str>,
    /// Namespace and name as in keys.
    pub(super) prefix: Bytes,
    /// Whether its states are known.
    pub(super) states_known: StatesKnown,
    /// Addresses that wait until they are.
    pub(super) queue: VecDeque<Slot>,
    /// The states that are sent with every request, in order of declaration.
    pub(super) states: Declared,
    /// Counters since the start.
    pub(super) counters: TypeCounters,
    /// Its binding, looked up when it is seen first, and when bindings are exchanged.
    binding: Option<FunctionBinding>,
    /// Types that its functions have sent to since the start.
    feeds: BTreeSet<TypeId>,
    /// Egresses that its functions have sent to since the start, by the front of their rows.
    pub(super) egresses: HashSet<Bytes>,
}

impl FunctionType {
    /// Namespace and name.
    pub(super) fn names(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    /// Its binding, if it has one.
    pub(super) const fn binding(&self) -> Option<FunctionBinding> {
        self.binding
    }
}

/// All types seen since the start.
#[derive(Debug, Default)]
pub(super) struct FunctionTypes {
    types: Vec<FunctionType>,
    /// The types after the first few, by their names.
    later: HashMap<Box<str>, Vec<TypeId>>,
}

/// Up to this many types are searched one by one, which costs less than a hash.
const FEW: usize = 8;

impl FunctionTypes {
    /// The type of `address`. A new one is looked up in `bindings`.
    pub(super) fn of(&mut self, address: &AddressKey, bindings: &dyn Bindings) -> TypeId {
        let (namespace, name, _) = address.parts();
        if let Some(id) = self.find(namespace, name) {
            return id;
        }
        let id = TypeId(self.types.len());
        if self.types.len() >= FEW {
            self.later.entry(name.into()).or_default().push(id);
        }
        self.types.push(FunctionType {
            namespace: namespace.into(),
            name: name.into(),
            prefix: address.type_prefix(),
            states_known: StatesKnown::No,
            queue: VecDeque::new(),
            states: Declared::default(),
            counters: TypeCounters::default(),
            binding: bindings.function(namespace, name),
            feeds: BTreeSet::new(),
            egresses: HashSet::new(),
        });
        id
    }

    /// Looks up the bindings of all types again.
    pub(super) fn bind(&mut self, bindings: &dyn Bindings) {
        for function_type in &mut self.types {
            let (namespace, name) = (&function_type.namespace, &function_type.name);
            function_type.binding = bindings.function(namespace, name);
        }
    }

    /// The type of `address`, if it is bound. An unbound type leaves nothing behind.
    pub(super) fn bound(
        &mut self,
        address: &AddressKey,
        bindings: &dyn Bindings,
    ) -> Option<(TypeId, FunctionBinding)> {
        let (namespace, name, _) = address.parts();
        let id = match self.find(namespace, name) {
            Some(id) => id,
            None => {
                bindings.function(namespace, name)?;
                self.of(address, bindings)
            }
        };
        Some((id, self.get(id).binding?))
    }

    /// Records that functions of type `from` send to functions of type `to`.
    pub(super) fn note_feed(&mut self, from: TypeId, to: TypeId) {
        if from != to && !self.get(from).feeds.contains(&to) {
            self.get_mut(from).feeds.insert(to);
        }
    }

    /// Starting from `start`, follows the types that functions send to, and returns the first that `is_wanted`.
    pub(super) fn downstream(
        &self,
        start: TypeId,
        is_wanted: impl Fn(TypeId) -> bool,
    ) -> Option<TypeId> {
        let (mut seen, mut next) = (HashSet::from([start]), vec![start]);
        while let Some(id) = next.pop() {
            if is_wanted(id) {
                return Some(id);
            }
            let feeds = self.get(id).feeds.iter();
            next.extend(feeds.copied().filter(|id| seen.insert(*id)));
        }
        None
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

    /// The type with this name, if it was seen.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<TypeId> {
        let mut first = self.types.iter().take(FEW);
        let place = first.position(|function_type| {
            &*function_type.name == name && &*function_type.namespace == namespace
        });
        if place.is_some() || self.later.is_empty() {
            return place.map(TypeId);
        }
        let mut namesakes = self.later.get(name)?.iter().copied();
        namesakes.find(|id| self.get(*id).namespace.as_ref() == namespace)
    }

    /// All types, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut FunctionType> {
        self.types.iter_mut()
    }

    /// All types, with their indexes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TypeId, &FunctionType)> {
        self.types
            .iter()
            .enumerate()
            .map(|(index, function_type)| (TypeId(index), function_type))
    }
}
