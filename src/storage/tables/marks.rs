//! The marks beside the rows: their position, counts and seal sums, with a checksum.

use std::collections::BTreeMap;

use redb::{ReadableTable, TableDefinition};

use super::super::StorageError;
use super::super::row::Position;
use super::Mark;
use super::guard::Fault;
use super::seal::{Sum, Sums};

pub(super) const MARKS: TableDefinition<'_, &str, u64> = TableDefinition::new("marks");

/// The version of the tables: rows with seals, marks with a checksum, and from 3 on a file with the checksums of the pages.
pub(super) const FORMAT: u32 = 3;
/// The first version with seals.
const SEALED: u32 = 2;

const FORMAT_NAME: &str = "format";
const POSITION: &str = "position";
const BOOT: &str = "boot";
const DAMAGED: &str = "damaged";
const CHECK: &str = "check";
const ROWS_OF: &str = "rows-";
const SEALS_OF: &str = "seals-";

/// The marks of one checkpoint; those of an empty file are all zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    format: u32,
    pub(super) position: u64,
    pub(super) boot: u64,
    /// Rows without a good seal were copied from a damaged page. The key of such a row may be wrong, so that another row looks absent.
    pub(super) damaged: bool,
    pub(super) sums: Sums,
}

impl Marks {
    /// # Errors
    /// If they are inconsistent, or were written by a later version.
    pub(super) fn read(
        file: &str,
        table: &impl ReadableTable<&'static str, u64>,
    ) -> Result<Self, Fault> {
        let mut all = BTreeMap::new();
        for mark in table.iter()? {
            let (name, value) = mark?;
            all.insert(name.value().to_owned(), value.value());
        }
        let check = all.remove(CHECK);
        let number = |name: &str| all.get(name).copied().unwrap_or_default();
        // Format 1 had no mark for it.
        let format = match all.get(FORMAT_NAME) {
            Some(format) => u32::try_from(*format).unwrap_or(u32::MAX),
            None => u32::from(all.contains_key(POSITION)),
        };
        if format > FORMAT {
            return Err(Fault::Ours(StorageError::Format {
                file: file.to_owned(),
                found: format,
                expected: FORMAT,
            }));
        }
        if format >= SEALED && check != Some(checksum(&all)) {
            let fault = redb::Error::Corrupted("its marks are inconsistent".to_owned());
            return Err(fault.into());
        }
        let mut sums = Sums::default();
        for (name, rows) in &all {
            let table = name
                .strip_prefix(ROWS_OF)
                .and_then(|byte| byte.parse().ok());
            if let Some(table) = table {
                let (rows, seals) = (*rows, number(&format!("{SEALS_OF}{table}")));
                sums.set(table, Sum { rows, seals });
            }
        }
        Ok(Self {
            format,
            position: number(POSITION),
            boot: number(BOOT),
            damaged: number(DAMAGED) != 0,
            sums,
        })
    }

    pub(super) fn write(
        &self,
        table: &mut redb::Table<'_, &'static str, u64>,
    ) -> Result<(), Fault> {
        let mut all = BTreeMap::from([
            (FORMAT_NAME.to_owned(), u64::from(FORMAT)),
            (POSITION.to_owned(), self.position),
            (BOOT.to_owned(), self.boot),
            (DAMAGED.to_owned(), u64::from(self.damaged)),
        ]);
        for (byte, Sum { rows, seals }) in self.sums.iter() {
            all.insert(format!("{ROWS_OF}{byte}"), rows);
            all.insert(format!("{SEALS_OF}{byte}"), seals);
        }
        all.insert(CHECK.to_owned(), checksum(&all));
        for (name, value) in &all {
            table.insert(name.as_str(), value)?;
        }
        Ok(())
    }

    /// Whether the rows have seals; a file without a checkpoint counts as sealed.
    pub(super) const fn is_sealed(&self) -> bool {
        self.format >= SEALED
    }

    pub(super) const fn mark(&self) -> Mark {
        Mark {
            position: Position::from_u64(self.position),
            boot: self.boot,
        }
    }
}

fn checksum(marks: &BTreeMap<String, u64>) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    for (name, value) in marks {
        hasher.update(name.as_bytes());
        hasher.update(&value.to_le_bytes());
    }
    u64::from(hasher.finalize())
}
