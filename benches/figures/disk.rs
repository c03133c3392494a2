//! The speed of the disk itself: the anchor of everything durable.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::Result;

use crate::load::Report;
use crate::{Pace, scratch};

const FILE_BYTES: usize = 16 << 20;
const RECORD: [u8; 4096] = [7; 4096];

/// Records of 4 KiB, each followed by an fdatasync, one after the other, in a file whose blocks are already allocated.
pub(crate) fn append_and_sync(pace: &Pace) -> Result<Report> {
    let folder = scratch()?;
    let path = folder.path().join("log");
    let mut file = File::create(&path)?;
    file.write_all(&vec![0; FILE_BYTES])?;
    file.sync_all()?;
    drop(file);

    let mut micros = Vec::new();
    let start = Instant::now();
    let mut file = File::options().write(true).open(&path)?;
    let mut written = 0;
    while start.elapsed() < pace.measure {
        if written + RECORD.len() > FILE_BYTES {
            file = File::options().write(true).open(&path)?;
            written = 0;
        }
        let before = Instant::now();
        file.write_all(&RECORD)?;
        file.sync_data()?;
        written += RECORD.len();
        micros.push(before.elapsed().as_micros() as u32);
    }
    Report::of(micros, start.elapsed())
}
