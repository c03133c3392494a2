//! Kind: reading that writes. `statefun state list --data` began a boot and a log file, and failed on a folder on a
//! read-only disk, or with another owner.
//!
//! Right is: reading commands open the folder read-only. Its bytes are the same before and after.
//!
//! Also: data folders were readable by every user of the machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use stateful_functions::storage::{Folder, LogSettings, open};

use super::old_folders::unpack;

/// Names, bytes, modes and times of change.
fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, std::time::SystemTime)> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let told = fs::metadata(&path).unwrap();
            let seen = (
                fs::read(&path).unwrap(),
                told.permissions().mode(),
                told.modified().unwrap(),
            );
            (path, seen)
        })
        .collect()
}

fn statefun(args: &[&str], data: &Path) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_statefun"))
        .args(args)
        .arg("--data")
        .arg(data)
        .env_remove("STATEFUN_ADMIN_TOKEN")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn commands_that_look_leave_the_folder_as_it_is_to_the_byte() {
    for fixture in ["stopped", "killed"] {
        let folder = unpack(fixture);
        let data = folder.path().join("data");
        let before = files(&data);
        let total = if fixture == "stopped" { "41" } else { "42" };
        let (code, out, err) = statefun(&["state", "list", "statefun.samples/counter"], &data);
        // The command binds no functions, so it misses none.
        assert!(!err.contains("no longer in the module"), "{err}");
        assert_eq!(code, Some(0), "{err}");
        assert_eq!(
            out.trim(),
            format!("statefun.samples/counter/shop  total  io.statefun.types/long  {total}")
        );
        let get = ["state", "get", "statefun.samples/greeter/ann", "visits"];
        let (code, out, err) = statefun(&get, &data);
        assert_eq!((code, out.contains("  2")), (Some(0), true), "{err}");
        let (code, out, err) = statefun(&["state", "export"], &data);
        assert_eq!((code, out.lines().count() > 20), (Some(0), true), "{err}");
        let (code, out, err) = statefun(&["state", "verify"], &data);
        assert_eq!((code, out.contains("no damage")), (Some(0), true), "{err}");
        assert_eq!(files(&data), before);
    }
}

#[test]
fn a_folder_that_may_not_be_written_can_be_looked_at() {
    let folder = unpack("killed");
    let data = folder.path().join("data");
    let set_modes = |of_folder: u32, of_files: u32| {
        for path in files(&data).into_keys() {
            fs::set_permissions(path, fs::Permissions::from_mode(of_files)).unwrap();
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(of_folder)).unwrap();
    };
    set_modes(0o500, 0o400);
    let before = files(&data);
    let (code, out, err) = statefun(&["state", "list", "statefun.samples/counter"], &data);
    assert_eq!((code, out.contains("  42")), (Some(0), true), "{err}");
    assert_eq!(files(&data), before);
    set_modes(0o700, 0o600);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_data_folder_and_its_files_are_for_their_owner_alone() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    drop(open(Arc::new(Folder::new(&data)), LogSettings::default()).unwrap());
    assert_eq!(mode(&data), 0o700);
    let all = files(&data);
    assert!(all.len() >= 3, "{:?}", all.keys());
    for path in all.keys() {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_folder_of_an_earlier_version_is_closed_to_others_unless_it_holds_other_files() {
    let folder = unpack("stopped");
    let data = folder.path().join("data");
    let open_to_all = || {
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
        for path in files(&data).into_keys() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }
    };
    open_to_all();
    drop(open(Arc::new(Folder::new(&data)), LogSettings::default()).unwrap());
    assert_eq!(mode(&data), 0o700);
    assert!(files(&data).keys().all(|path| mode(path) == 0o600));

    let note = data.join("notes.txt");
    fs::write(&note, "mine").unwrap();
    open_to_all();
    drop(open(Arc::new(Folder::new(&data)), LogSettings::default()).unwrap());
    assert_eq!((mode(&data), mode(&note)), (0o755, 0o644));
    assert_eq!(mode(&data.join("tables.redb")), 0o600);
}
