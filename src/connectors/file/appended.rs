//! A file that whole lines are appended to, found again by its path when it is removed or replaced from outside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::position::FileId;

/// Every record begins with one of these: keys are in the order of the alphabet.
const BEGINNINGS: [&[u8]; 2] = [b"{\"egress\":", b"{\"base64\":"];
/// This often in a row a batch is written again because its file was removed or replaced meanwhile.
const ATTEMPTS: u32 = 5;

/// The file at a path. It is opened when it is first needed, and again when the path names another file.
#[derive(Debug)]
pub(super) struct Appended {
    path: PathBuf,
    file: Option<File>,
}

impl Appended {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Opens the file, or creates it. An incomplete line left by a crash is cut off.
    pub(super) fn open(&mut self) -> io::Result<()> {
        self.file = Some(open(&self.path)?);
        Ok(())
    }

    /// Closes the file; it is opened again when it is needed.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Appends `text` completely or not at all. Afterwards it is on disk, in the file that the path names. `begins` is called before each write, with
    /// the file and its length.
    ///
    /// # Errors
    /// When the file cannot be created or written, for example because its folder is gone; later attempts may succeed.
    pub(super) fn append(
        &mut self,
        text: &[u8],
        begins: impl FnMut(FileId, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        self.append_while(text, begins, || {})
    }

    /// `written` is called between each write and the look at what the path names then.
    fn append_while(
        &mut self,
        text: &[u8],
        mut begins: impl FnMut(FileId, u64) -> io::Result<()>,
        mut written: impl FnMut(),
    ) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let mut file = match self.file.take() {
                Some(file) if is_at(&self.path, &file)? => file,
                // Bytes in a file that nobody can find again are lost.
                _ => open(&self.path)?,
            };
            let metadata = file.metadata()?;
            begins(FileId::of(&metadata), metadata.len())?;
            append(&mut file, text)?;
            written();
            let arrived = is_at(&self.path, &file)?;
            self.file = Some(file);
            if arrived {
                return Ok(());
            }
        }
        Err(io::Error::other(
            "it is removed or replaced again and again while it is written",
        ))
    }
}

/// Whether `path` names the open `file`.
fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    let named = match fs::metadata(path) {
        Ok(named) => named,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(err) => return Err(err),
    };
    Ok(FileId::of(&named) == FileId::of(&file.metadata()?))
}

fn open(path: &Path) -> io::Result<File> {
    let is_new = !path.try_exists()?;
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    cut_half_line(&mut file)?;
    if is_new {
        // A synced file without a durable name is lost with the machine's power.
        let parent = path.parent();
        let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(file)
}

/// Cuts the file after its last line feed.
///
/// # Errors
/// If what would be cut off is not the beginning of a record: the file belongs to somebody else.
fn cut_half_line(file: &mut File) -> io::Result<()> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = vec![0; 4096];
    let whole = end;
    while end > 0 {
        let length = end.min(4096);
        let start = end - length;
        file.seek(SeekFrom::Start(start))?;
        let part = block
            .get_mut(..usize::try_from(length).unwrap_or(0))
            .unwrap_or_default();
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            end = start + u64::try_from(at).unwrap_or(0) + 1;
            break;
        }
        end = start;
    }
    if end == whole {
        return Ok(());
    }
    file.seek(SeekFrom::Start(end))?;
    let mut begin = Vec::new();
    Read::by_ref(file).take(10).read_to_end(&mut begin)?;
    // After a power failure the bytes of a write can be zeros.
    let is_record =
        begin.first() == Some(&0) || BEGINNINGS.iter().any(|known| known.starts_with(&begin));
    match is_record {
        true => file.set_len(end),
        false => Err(io::Error::other(
            "its last line has no line feed and is not a record: name another file, or end that line",
        )),
    }
}

/// Writes at the end, which may have moved: others truncate the file.
fn append(file: &mut File, text: &[u8]) -> io::Result<()> {
    let end = file.seek(SeekFrom::End(0))?;
    let written = file.write_all(text).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(end)?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: FileId, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn opened(path: &Path) -> Appended {
        let mut file = Appended::new(path.to_owned());
        file.open().unwrap();
        file
    }

    #[test]
    fn a_half_line_from_a_crash_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let long = format!("{{\"a\":1}}\n{{\"egress\":\"{}", "x".repeat(10_000));
        for (before, after) in [
            ("", ""),
            ("{\"egr", ""),
            ("{\"base64\":\"AA", ""),
            ("one\n\0\0", "one\n"),
            ("one\ntwo\n", "one\ntwo\n"),
            (&long, "{\"a\":1}\n"),
        ] {
            fs::write(&path, before).unwrap();
            opened(&path).append(b"new\n", nothing).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{after}new\n"));
        }
    }

    #[test]
    fn a_half_line_of_somebody_else_is_not_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["a letter without end", "{\"a\":1}", "one\n{\"eg: x"] {
            fs::write(&path, text).unwrap();
            let told = Appended::new(path.clone()).open().unwrap_err().to_string();
            assert!(told.contains("end that line"), "{told}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn what_is_written_while_the_file_is_removed_or_replaced_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (folder.path().join("out"), folder.path().join("aside"));
        let meanwhile: [&dyn Fn(); 3] = [
            &|| fs::remove_file(&path).unwrap(),
            &|| fs::rename(&path, &aside).unwrap(),
            &|| {
                fs::write(&aside, "other\n").unwrap();
                fs::rename(&aside, &path).unwrap();
            },
        ];
        for (meanwhile, before) in meanwhile.into_iter().zip(["", "", "other\n"]) {
            let mut file = opened(&path);
            let mut times = 0;
            file.append_while(b"one\n", nothing, || {
                times += 1;
                if times == 1 {
                    meanwhile();
                }
            })
            .unwrap();
            assert_eq!(times, 2);
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{before}one\n"));
            fs::remove_file(&path).unwrap();
        }
        let told =
            opened(&path).append_while(b"one\n", nothing, || fs::remove_file(&path).unwrap());
        assert!(told.unwrap_err().to_string().contains("again and again"));
    }

    #[test]
    fn a_truncated_file_goes_on_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut file = opened(&path);
        file.append(b"one\n", nothing).unwrap();
        fs::write(&path, "").unwrap();
        file.append(b"two\n", nothing).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
    }
}
