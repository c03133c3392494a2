//! Files of JSON lines, which are followed.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::input::{Filled, Input, Rate, message};
use super::meter::Meter;
use crate::{scratch, tally};

pub(super) struct Files {
    folder: TempDir,
}

impl Files {
    pub(super) fn new() -> Result<Self> {
        let folder = scratch()?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Input for Files {
    fn what(&self) -> &'static str {
        "file"
    }

    fn make(&self, name: &str) -> Result<()> {
        File::create(self.path(name))?;
        Ok(())
    }

    fn fill(&self, name: &str, keys: u64, count: u64) -> Result<Filled> {
        let mut file = BufWriter::new(File::create(self.path(name))?);
        for number in 0..count {
            line(&mut file, number % keys)?;
        }
        file.flush()?;
        Ok(Filled {
            name: name.to_owned(),
            count,
        })
    }

    fn load(
        &self,
        name: &str,
        keys: u64,
        rate: Rate,
        meter: &Meter,
        ends: &AtomicBool,
    ) -> Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.path(name))?;
        let mut lines = Vec::new();
        rate.drive(meter, ends, |numbers| {
            lines.clear();
            for number in numbers {
                line(&mut lines, number % keys)?;
            }
            Ok(file.write_all(&lines)?)
        })
    }

    fn ingress(&self, name: &str) -> String {
        format!(
            "kind: statefun.file.v1/ingress
spec: {{id: bench/in, path: '{}'}}
",
            self.path(name).display()
        )
    }
}

fn line(out: &mut impl Write, key: u64) -> Result<()> {
    let (target, kind) = (tally::TALLY, tally::STAMPED);
    let value = STANDARD.encode(message());
    writeln!(
        out,
        r#"{{"target":"{target}/key-{key}","type":"{kind}","base64":"{value}"}}"#
    )?;
    Ok(())
}
