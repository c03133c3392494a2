//! Reads a file and follows it through rotations: each file that the path named is read to its end before the next one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tracing::{info, warn};

use super::cursor::Line;
use super::folder::{Named, Sibling, copied, named, renamed, siblings};
use super::gather::{Gathered, Gatherer};
use super::position::{FileId, Modified, Position};
use super::record::ParsedLine;
use super::tracked::{Progress, Tracked};
use crate::runtime::Batch;
use crate::sdk::BoxError;

/// A last line without a line feed is taken when its file has not grown for this long.
const LAST_LINE_AFTER: Duration = Duration::from_secs(1);
/// A rotated file is followed until it has not grown for this long: programs write to it until they open the new one.
const FOLLOWED_FOR: Duration = Duration::from_secs(60);

/// Bytes that are read and made a batch in well under a millisecond.
const LITTLE: u64 = 32 << 10;

/// A file as its path names it, and the files that it named before.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    /// The path as text, for splits and messages.
    name: String,
    gatherer: Gatherer,
    /// Stored positions that were not resumed yet.
    stored: Vec<(String, Position)>,
    /// The oldest first; the last one is that which the path named last.
    files: Vec<Tracked>,
    /// The splits that have a stored position.
    splits: BTreeSet<String>,
    buffer: Vec<u8>,
    /// What happened to the file, until further records are brought.
    notice: Option<String>,
}

/// What a step of a reader brought.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Records and positions; `None` if there is nothing new.
    pub(super) batch: Option<Batch>,
    /// Bytes that are not read yet, by split.
    pub(super) behind: Vec<(String, u64)>,
    /// What operators should know.
    pub(super) trouble: Option<String>,
}

impl Reader {
    /// Continues at the stored positions.
    ///
    /// # Errors
    /// If a position is not one of this source.
    pub(super) fn new(
        path: &Path,
        gatherer: Gatherer,
        positions: Vec<(String, Bytes)>,
    ) -> Result<Self, BoxError> {
        let name = path.display().to_string();
        let mut stored = Vec::new();
        for (split, bytes) in positions {
            let position = Position::from_bytes(&bytes).ok_or_else(|| {
                let text = String::from_utf8_lossy(&bytes);
                format!("the stored position of {split} is not one of a file: `{text}`")
            })?;
            stored.push((split, position));
        }
        // The one that the path named last is the last one.
        stored.sort_by_key(|(split, position)| (*split == name, position.modified));
        Ok(Self {
            path: path.to_owned(),
            name,
            gatherer,
            splits: stored.iter().map(|(split, _)| split.clone()).collect(),
            stored,
            files: Vec::new(),
            buffer: Vec::new(),
            notice: None,
        })
    }

    /// What it reads.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether all was read, as far as was seen, of the only file that there is.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(&*self.files, [file] if file.behind() == 0)
    }

    /// Whether there is only one file, to which a little was added.
    pub(super) fn has_little(&self) -> bool {
        let added = match &*self.files {
            [file] => file.added(),
            _ => None,
        };
        added.is_some_and(|bytes| (1..=LITTLE).contains(&bytes))
    }

    /// Reads the next block of lines, or finds out what happened to the file.
    ///
    /// # Errors
    /// If a file or its folder cannot be read.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        match self.read() {
            // A file got another name since its folder was listed. The next step lists it again.
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(self.status(None)),
            step => step,
        }
    }

    fn read(&mut self) -> io::Result<Step> {
        if !self.stored.is_empty() {
            return self.resume();
        }
        for index in 0..self.files.len() {
            let (is_last, mut gathered) = (index + 1 == self.files.len(), Gathered::default());
            let Some(file) = self.files.get_mut(index) else {
                break;
            };
            let begins = file.is_at_start().then(|| file.modified());
            let (name, gatherer, buffer) = (&self.name, &mut self.gatherer, &mut self.buffer);
            let most = gatherer.max_line_bytes;
            let mut add = |line: Line<'_>| gatherer.add(name, line, &mut gathered);
            match file.take(buffer, most, &mut add)? {
                Progress::Lines => {
                    let mut step = self.lines(index, gathered);
                    if let Some(since) = begins.filter(|_| is_last) {
                        self.skipped(since)?;
                        step.trouble = step.trouble.or_else(|| self.notice.clone());
                    }
                    return Ok(step);
                }
                Progress::Rewritten => return self.rewritten(index),
                Progress::Rest(0) => {}
                // Its end may still be on its way.
                Progress::Rest(_) if file.quiet() < LAST_LINE_AFTER => break,
                Progress::Rest(_) => {
                    let is_whole = |text: &[u8]| !is_last || ParsedLine::read(text).is_ok();
                    if file.take_last(buffer, most, is_whole, add)? {
                        return Ok(self.lines(index, gathered));
                    }
                }
            }
        }
        self.look()
    }

    /// The batch of lines of one file.
    fn lines(&mut self, index: usize, gathered: Gathered) -> Step {
        let mut batch = gathered.into_batch();
        if let Some(file) = self.files.get(index) {
            batch.set_position(self.split(index), file.position().to_bytes());
        }
        if !batch.is_empty() {
            self.notice = None;
        }
        Step {
            batch: Some(batch),
            ..self.status(None)
        }
    }

    /// Looks what the path names.
    fn look(&mut self) -> io::Result<Step> {
        let id = match named(&self.path) {
            Named::File(id) => id,
            Named::Nothing(why) => {
                match self.passed(None) {
                    Ok(passed) if !passed.is_empty() => return Ok(self.follow_with(passed)),
                    Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                    _ => {}
                }
                let name = &self.name;
                let trouble = format!("{name}: {why}; it is read as soon as there is one");
                return Ok(self.status(Some(trouble)));
            }
        };
        if self.files.last().is_some_and(|file| file.id == id) {
            return Ok(match self.let_go() {
                true => self.positions(),
                false => self.status(None),
            });
        }
        self.rotated(id)
    }

    /// Lets go of rotated files that are read to their ends and no longer grow. The newest of them stays known, so that it is not taken for one that
    /// was never read. True if that changes positions.
    fn let_go(&mut self) -> bool {
        let (mut after, mut changes) = (self.files.len(), false);
        self.files.retain_mut(|file| {
            after -= 1;
            let is_newest = after == 1;
            if after == 0 || file.behind() > 0 || file.quiet() < FOLLOWED_FOR {
                return true;
            }
            changes |= !is_newest || file.ends();
            is_newest
        });
        changes
    }

    /// Reports files that the path named while nothing of its present file was read: it was copied and truncated more than once. They are not read.
    fn skipped(&mut self, since: Modified) -> io::Result<()> {
        let id = match (self.files.last(), named(&self.path)) {
            (Some(file), Named::File(id)) if file.id == id => id,
            // It was renamed: what follows it is found after it.
            _ => return Ok(()),
        };
        let skipped = match self.between(Some(id), since) {
            // Lines were taken, so this step must bring them.
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        if let Some(files) = names(&skipped) {
            let name = &self.name;
            let text = format!(
                "{name} was truncated before it was read; if these are copies of it, their lines are lost: {files}"
            );
            warn!("{text}");
            self.notice = Some(text);
        }
        Ok(())
    }

    /// Takes up the file that the path names now, after those that it named in between.
    fn rotated(&mut self, id: FileId) -> io::Result<Step> {
        if let Some(known) = self.files.iter().position(|file| file.id == id) {
            let file = self.files.remove(known);
            self.files.push(file);
            return Ok(self.positions());
        }
        let mut found = self.passed(Some(id))?;
        let newest = match File::open(&self.path).and_then(Tracked::begin) {
            Ok(newest) if newest.id == id => newest,
            // Rotated again in this moment.
            Ok(_) => return Ok(self.status(None)),
            Err(err) => return Err(err),
        };
        found.push(newest);
        Ok(self.follow_with(found))
    }

    /// Files that had the path since the last one that is known, and before the file that it names now.
    fn passed(&self, id: Option<FileId>) -> io::Result<Vec<Tracked>> {
        let Some(since) = self.files.last().map(Tracked::modified) else {
            return Ok(Vec::new());
        };
        let passed = self.between(id, since)?;
        let begin = |sibling: &Sibling| Tracked::begin(sibling.open()?);
        passed.iter().map(begin).collect()
    }

    /// Reads further files after those that are known.
    fn follow_with(&mut self, mut found: Vec<Tracked>) -> Step {
        if let Some(last) = self.files.last_mut() {
            last.retire();
        }
        match self.files.is_empty() {
            true => info!(file = %self.name, "begins to read a file"),
            false => {
                info!(file = %self.name, files = found.len(), "the file was rotated; what follows it is read after it")
            }
        }
        self.files.append(&mut found);
        self.positions()
    }

    /// Files that the path named since a time, other than the file `id`: rotations that are newer, and no copies.
    fn between(&self, id: Option<FileId>, since: Modified) -> io::Result<Vec<Sibling>> {
        let mut between = Vec::new();
        for sibling in siblings(&self.path)? {
            let is_known =
                id == Some(sibling.id) || self.files.iter().any(|file| file.id == sibling.id);
            let is_newer = sibling.modified >= since;
            if is_known || !is_newer || !sibling.is_rotation_of(&self.path) {
                continue;
            }
            let mut is_copy = false;
            let other = sibling.open()?;
            for file in &self.files {
                is_copy |= file.is_copied_to(&other)?;
            }
            if !is_copy {
                between.push(sibling);
            }
        }
        Ok(between)
    }

    /// A file was truncated or rewritten: its rest is read from its copy, if there is one, then the file from its beginning.
    fn rewritten(&mut self, index: usize) -> io::Result<Step> {
        let Some(file) = self.files.get(index) else {
            return Ok(Step::default());
        };
        let position = file.position();
        let copy = copied(&siblings(&self.path)?, &position)?;
        let copy = copy.filter(|copy| self.files.iter().all(|file| file.id != copy.id));
        self.notice = Some(self.lost("was truncated or rewritten", &position, copy.as_ref()));
        if let Some(file) = self.files.get_mut(index) {
            file.begin_again();
        }
        self.files.splice(index..index, copy);
        Ok(self.positions())
    }

    /// Finds the files of the stored positions.
    fn resume(&mut self) -> io::Result<Step> {
        let name = &self.name;
        let found = match siblings(&self.path) {
            Ok(found) => found,
            Err(err) => {
                let trouble = format!("{name}: its folder cannot be read: {err}");
                return Ok(self.status(Some(trouble)));
            }
        };
        let mut files: Vec<Tracked> = Vec::new();
        let mut gone = Vec::new();
        for (_, position) in &self.stored {
            match renamed(&found, &self.path, position)? {
                Some(file) if files.iter().all(|known| known.id != file.id) => files.push(file),
                Some(_) => {}
                None if position.is_done => {}
                None => gone.push(*position),
            }
        }
        if files.is_empty()
            && let Named::Nothing(why) = named(&self.path)
        {
            let trouble = format!("{name}: {why}; it is read as soon as there is one");
            return Ok(self.status(Some(trouble)));
        }
        for position in gone {
            let is_there = found.iter().any(|sibling| sibling.id == position.file);
            let what = match is_there {
                true => "was truncated or rewritten",
                false => "is gone from its folder",
            };
            let copy = copied(&found, &position)?;
            let copy = copy.filter(|copy| files.iter().all(|known| known.id != copy.id));
            self.notice = Some(self.lost(what, &position, copy.as_ref()));
            // It is older than what the path names, in any case.
            files.splice(..0, copy);
        }
        self.files = files;
        self.stored.clear();
        Ok(self.positions())
    }

    /// Tells what was lost with a file: nothing if it was copied before.
    fn lost(&self, what: &str, position: &Position, copy: Option<&Tracked>) -> String {
        let (byte, line) = (position.cursor.byte, position.cursor.line);
        let read = format!(
            "{} (inode {}) {what}; it had been read up to byte {byte}, line {line}",
            self.name, position.file.inode
        );
        let text = match copy {
            Some(copy) => format!(
                "{read}; its copy (inode {}) is read to the end, and then the file from its beginning",
                copy.id.inode
            ),
            None => format!(
                "{read}; lines behind that are lost if there were any; the file is read from its beginning"
            ),
        };
        match copy {
            Some(_) => info!("{text}"),
            None => warn!("{text}"),
        }
        text
    }

    /// A batch of the positions of all files.
    fn positions(&mut self) -> Step {
        let mut batch = Batch::new();
        let mut splits = BTreeSet::new();
        for (index, file) in self.files.iter().enumerate() {
            let split = self.split(index);
            batch.set_position(split.clone(), file.position().to_bytes());
            splits.insert(split);
        }
        for ended in self.splits.difference(&splits) {
            batch = batch.forget(ended.clone());
        }
        self.splits = splits;
        Step {
            batch: Some(batch),
            ..self.status(None)
        }
    }

    fn status(&self, trouble: Option<String>) -> Step {
        let files = self.files.iter().enumerate();
        Step {
            behind: files
                .map(|(index, file)| (self.split(index), file.behind()))
                .collect(),
            trouble: trouble.or_else(|| self.notice.clone()),
            ..Step::default()
        }
    }

    /// The split of a file: the path for what it names, and the path with the inode for a rotated one.
    fn split(&self, index: usize) -> String {
        match self.files.get(index) {
            Some(file) if index + 1 < self.files.len() => {
                format!("{} (inode {})", self.name, file.id.inode)
            }
            _ => self.name.clone(),
        }
    }
}

/// The names of non-empty files; `None` if there is none.
fn names(files: &[Sibling]) -> Option<String> {
    let files = files.iter().filter(|file| file.size > 0);
    let names: Vec<_> = files.map(|file| file.path.display().to_string()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
