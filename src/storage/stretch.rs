//! Scans that continue after a damaged row.

use bytes::Bytes;

use super::{Rows, StorageError, Table};

/// Some rows in key order. A damaged one is included with its key and its error.
pub(crate) struct Stretch {
    pub(crate) rows: Vec<(Bytes, Result<Bytes, StorageError>)>,
    /// Whether these are the last rows of the scan.
    pub(crate) is_last: bool,
}

/// Like [`Rows::scan`], but a damaged row ends the stretch instead of failing it: the scan can continue after its key.
///
/// # Errors
///
/// When the disk cannot be read.
pub(crate) fn stretch(
    store: &(impl Rows + ?Sized),
    table: Table,
    from: &[u8],
    to: Option<&[u8]>,
    limit: usize,
) -> Result<Stretch, StorageError> {
    let (sound, damaged) = match store.scan(table, from, to, limit) {
        Err(err) => match &err {
            // The rows before it are sound.
            StorageError::DamagedRow { key, .. } => {
                let sound = store.scan(table, from, Some(key), limit)?;
                (sound, Some((key.clone(), Err(err))))
            }
            _ => return Err(err),
        },
        Ok(sound) => (sound, None),
    };
    let is_last = damaged.is_none() && sound.len() < limit;
    let sound = sound.into_iter().map(|(key, value)| (key, Ok(value)));
    Ok(Stretch {
        rows: sound.chain(damaged).collect(),
        is_last,
    })
}

/// The number of rows of a scan, including damaged ones, counted up to about `enough`.
///
/// # Errors
///
/// When the disk cannot be read.
#[cfg(feature = "runtime")]
pub(crate) fn count(
    store: &(impl Rows + ?Sized),
    table: Table,
    from: &[u8],
    to: Option<&[u8]>,
    enough: usize,
) -> Result<usize, StorageError> {
    const CHUNK: usize = 1_000;
    let (mut total, mut from) = (0, from.to_vec());
    while total < enough {
        let Stretch { rows, is_last } = stretch(store, table, &from, to, CHUNK)?;
        total += rows.len();
        match rows.last() {
            Some((last, _)) if !is_last => from = [last.as_ref(), &[0]].concat(),
            _ => break,
        }
    }
    Ok(total.min(enough))
}
