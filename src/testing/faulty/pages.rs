//! Bytes of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes in pages, which copies share until they differ. A missing page is zeros.
#[derive(Clone, Default)]
pub(super) struct Pages {
    pages: BTreeMap<usize, Arc<[u8; PAGE]>>,
    pub(super) len: usize,
}

const PAGE: usize = 4096;

impl Pages {
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) {
        for (at, part) in parts(offset, out.len()) {
            let to = out.get_mut(part).unwrap_or_default();
            let page = self.pages.get(&(at / PAGE));
            match page.and_then(|page| page.get(at % PAGE..at % PAGE + to.len())) {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0),
            }
        }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        for (at, part) in parts(offset, bytes.len()) {
            let from = bytes.get(part).unwrap_or_default();
            let page = self
                .pages
                .entry(at / PAGE)
                .or_insert_with(|| Arc::new([0; PAGE]));
            if let Some(to) = Arc::make_mut(page).get_mut(at % PAGE..at % PAGE + from.len()) {
                to.copy_from_slice(from);
            }
        }
        self.len = self.len.max(offset + bytes.len());
    }

    pub(super) fn set_len(&mut self, len: usize) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE));
            if let Some(page) = self.pages.get_mut(&(len / PAGE)) {
                Arc::make_mut(page)
                    .get_mut(len % PAGE..)
                    .unwrap_or_default()
                    .fill(0);
            }
        }
        self.len = len;
    }
}

/// Splits `len` bytes from `offset` at page boundaries: the start of each part, and its range in the whole.
fn parts(offset: usize, len: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done;
        let part = (PAGE - at % PAGE).min(len - done);
        let range = done..done + part;
        done += part;
        (part > 0).then_some((at, range))
    })
}
