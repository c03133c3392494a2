//! The values that a function keeps at one address.

use std::fmt;
use std::sync::Arc;

use super::typed_bytes::HAS_VALUE;
use super::wire::{bytes_len, field_len, put_bytes, put_header, put_text, text_len};
use super::{DeclaredValue, SdkError, TypeName, TypedBytes, ValueSpec, is_same};

/// The values of one address. Changes are kept if and only if the whole batch succeeds.
///
/// ```
/// use stateful_functions::{BoxError, Context, Message, ValueSpec, types};
///
/// const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);
///
/// async fn count(context: &mut Context, _message: Message) -> Result<(), BoxError> {
///     let seen = context.storage().get(&SEEN)?.unwrap_or(0);
///     context.storage().set(&SEEN, seen + 1)?;
///     Ok(())
/// }
/// ```
pub struct AddressScopedStorage {
    function: TypeName,
    declared: Arc<[DeclaredValue]>,
    /// One for each declared value, in the same order.
    cells: Vec<Cell>,
}

/// A value, and whether this batch touched it.
#[derive(Clone)]
pub(crate) enum Cell {
    Stored(Option<TypedBytes>),
    /// The bytes of the value; its type is the declared one.
    Written(Vec<u8>),
    Removed,
}

impl AddressScopedStorage {
    pub(crate) const fn new(
        function: TypeName,
        declared: Arc<[DeclaredValue]>,
        cells: Vec<Cell>,
    ) -> Self {
        Self {
            function,
            declared,
            cells,
        }
    }

    /// The value, or `None` when there is none: never written, removed or expired.
    ///
    /// # Errors
    /// If the function did not declare `spec`, or the stored value has another type.
    pub fn get<T>(&self, spec: &ValueSpec<T>) -> Result<Option<T>, SdkError> {
        let index = self.index(spec)?;
        match self.cells.get(index) {
            Some(Cell::Stored(Some(typed))) => spec.value_type().read(typed, || {
                format!("stored value `{}` of {}", spec.name(), self.function)
            }),
            Some(Cell::Written(bytes)) => spec.value_type().decode(bytes).map(Some),
            Some(Cell::Stored(None) | Cell::Removed) | None => Ok(None),
        }
    }

    /// Writes the value.
    ///
    /// # Errors
    /// If the function did not declare `spec`, or its type refuses the value; the old value stays then.
    pub fn set<T>(&mut self, spec: &ValueSpec<T>, value: T) -> Result<(), SdkError> {
        let index = self.index(spec)?;
        let Some(cell) = self.cells.get_mut(index) else {
            return Ok(());
        };
        if let Cell::Written(bytes) = cell {
            let kept = bytes.len();
            spec.value_type()
                .encode_to(&value, bytes)
                .inspect_err(|_| bytes.truncate(kept))?;
            bytes.copy_within(kept.., 0);
            bytes.truncate(bytes.len() - kept);
        } else {
            let mut bytes = Vec::new();
            spec.value_type().encode_to(&value, &mut bytes)?;
            *cell = Cell::Written(bytes);
        }
        Ok(())
    }

    /// Removes the value, if there is one.
    ///
    /// # Errors
    /// If the function did not declare `spec`.
    pub fn remove<T>(&mut self, spec: &ValueSpec<T>) -> Result<(), SdkError> {
        let index = self.index(spec)?;
        if let Some(cell) = self.cells.get_mut(index) {
            *cell = Cell::Removed;
        }
        Ok(())
    }

    fn index<T>(&self, spec: &ValueSpec<T>) -> Result<usize, SdkError> {
        let mut found = self.declared.iter().enumerate();
        let is_meant =
            |declared: &DeclaredValue| is_same(declared.name.as_bytes(), spec.name().as_bytes());
        let Some((index, declared)) = found.find(|(_, declared)| is_meant(declared)) else {
            let names: Vec<&str> = self.declared.iter().map(|value| &*value.name).collect();
            return Err(SdkError::UndeclaredValue {
                function: self.function.clone(),
                value: spec.name().to_owned(),
                declared: if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                },
            });
        };
        if declared.type_name != *spec.value_type().name() {
            return Err(SdkError::ValueDeclaredOtherwise {
                function: self.function.clone(),
                value: spec.name().to_owned(),
                declared: declared.type_name.clone(),
                used: spec.value_type().name().clone(),
            });
        }
        Ok(index)
    }

    /// A copy of the current values, for [`AddressScopedStorage::restore`].
    pub(crate) fn cells(&self) -> Vec<Cell> {
        self.cells.clone()
    }

    pub(crate) fn restore(&mut self, cells: Vec<Cell>) {
        self.cells = cells;
    }

    /// Every declared value and its cell.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&DeclaredValue, &Cell)> {
        self.declared.iter().zip(&self.cells)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = (&DeclaredValue, &mut Cell)> {
        self.declared.iter().zip(&mut self.cells)
    }

    /// The number of bytes that [`AddressScopedStorage::put_mutations`] appends.
    pub(crate) fn mutations_len(&self) -> usize {
        let mutations = self.values().filter_map(Mutation::of);
        mutations.map(|mutation| field_len(mutation.len())).sum()
    }

    /// Appends one `PersistedValueMutation` for each touched value, in declaration order, as field 1.
    pub(crate) fn put_mutations(&self, out: &mut Vec<u8>) {
        for mutation in self.values().filter_map(Mutation::of) {
            put_header(out, 1, mutation.len());
            mutation.put(out);
        }
    }
}

/// A `PersistedValueMutation`: `MODIFY` with the bytes of a value, or `DELETE`, which is zero and so left out.
struct Mutation<'a> {
    declared: &'a DeclaredValue,
    written: Option<&'a [u8]>,
}

const MODIFY: &[u8] = &[0x08, 0x01];

impl<'a> Mutation<'a> {
    fn of((declared, cell): (&'a DeclaredValue, &'a Cell)) -> Option<Self> {
        let written = match cell {
            Cell::Stored(_) => return None,
            Cell::Removed => None,
            Cell::Written(bytes) => Some(&**bytes),
        };
        Some(Self { declared, written })
    }

    fn len(&self) -> usize {
        let name = text_len(&self.declared.name);
        match self.written {
            None => name,
            Some(value) => MODIFY.len() + name + field_len(self.typed_len(value)),
        }
    }

    fn typed_len(&self, value: &[u8]) -> usize {
        text_len(self.declared.type_name.as_str()) + HAS_VALUE.len() + bytes_len(value)
    }

    fn put(&self, out: &mut Vec<u8>) {
        let Some(value) = self.written else {
            return put_text(out, 2, &self.declared.name);
        };
        out.extend_from_slice(MODIFY);
        put_text(out, 2, &self.declared.name);
        put_header(out, 3, self.typed_len(value));
        put_text(out, 1, self.declared.type_name.as_str());
        out.extend_from_slice(HAS_VALUE);
        if !value.is_empty() {
            put_bytes(out, 3, value);
        }
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for AddressScopedStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.declared.iter().map(|value| &value.name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::{Type, types};

    /// A type that takes small numbers only, and begins to write before it refuses.
    const SMALL: Type<i32> = Type::new(
        TypeName::new("example/small"),
        |number, out| {
            out.push(b'!');
            out.push(u8::try_from(*number)?);
            Ok(())
        },
        |bytes| Ok(bytes.last().copied().map(i32::from).ok_or("empty")?),
    );

    #[test]
    fn a_value_that_its_type_refuses_leaves_what_was_there() {
        const VALUE: ValueSpec<i32> = ValueSpec::new("value", SMALL);
        let mut storage = AddressScopedStorage::new(
            TypeName::new("a/b"),
            [VALUE.into()].into(),
            vec![Cell::Stored(None)],
        );
        let text = "cannot write a value of type example/small: out of range integral type conversion attempted";
        assert_eq!(storage.set(&VALUE, 300).unwrap_err().to_string(), text);
        assert_eq!(storage.get(&VALUE).unwrap(), None);
        assert_eq!(storage.mutations_len(), 0);
        storage.set(&VALUE, 7).unwrap();
        assert!(storage.set(&VALUE, 300).is_err());
        assert_eq!(storage.get(&VALUE).unwrap(), Some(7));
        storage.set(&VALUE, 8).unwrap();
        let mut mutations = Vec::new();
        storage.put_mutations(&mut mutations);
        assert!(mutations.ends_with(b"\x1a\x02!\x08"), "{mutations:?}");
        assert_eq!(mutations.len(), storage.mutations_len());
    }

    #[test]
    fn values_of_every_size_have_mutations_of_the_announced_length() {
        const VALUE: ValueSpec<String> = ValueSpec::new("value", types::STRING);
        for len in [0, 1, 100, 127, 128, 16_383, 16_384] {
            let mut storage = AddressScopedStorage::new(
                TypeName::new("a/b"),
                [VALUE.into()].into(),
                vec![Cell::Stored(None)],
            );
            storage.set(&VALUE, "x".repeat(len)).unwrap();
            let mut mutations = Vec::new();
            storage.put_mutations(&mut mutations);
            assert_eq!(mutations.len(), storage.mutations_len(), "{len}");
        }
    }
}
