//! Kind: a command about stored values leaves or says what is not so. A failed `state import --data new` left a folder, which the next command took for
//! the data of a runtime; a file with a byte order mark was "not a JSON object"; `state delete` of nothing said "deleted".

use super::cli::statefun;

const GOOD: &str = r#"{"address":"a/b/c","state":"total","typename":"io.statefun.types/long","base64":"CQEAAAAAAAAA"}"#;

/// No runtime is asked.
const NOBODY: &str = "127.0.0.1:9";

#[tokio::test]
async fn a_failed_import_leaves_no_new_folder_and_nothing_is_deleted_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, file) = (path("new"), path("export.jsonl"));
    let import = ["state", "import", &file, "--data", &data];
    for (text, told) in [
        (
            format!("{GOOD}\nnonsense\n").into_bytes(),
            "line 2: it is not a JSON object",
        ),
        (
            [GOOD.as_bytes(), b"\n\xe4\n"].concat(),
            "line 2 has bytes that are not UTF-8",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let (code, _, err) = statefun(&import, NOBODY).await;
        assert!(code == 1 && err.contains(told), "{err}");
        assert!(err.contains("new was removed again\n"), "{err}");
        assert!(!folder.path().join("new").exists(), "{err}");
    }

    std::fs::write(&file, format!("\u{feff}{GOOD}\n")).unwrap();
    let (code, out, err) = statefun(&import, NOBODY).await;
    assert_eq!((code, out.as_str()), (0, "1 value imported\n"), "{err}");

    let delete = |address| ["state", "delete", address, "total", "--data", &data];
    let (code, _, err) = statefun(&delete("a/b/other"), NOBODY).await;
    assert_eq!(code, 1);
    assert!(
        err.ends_with("there is no such value (state.not_found)\n"),
        "{err}"
    );
    let (code, out, err) = statefun(&delete("a/b/c"), NOBODY).await;
    assert_eq!((code, out.as_str()), (0, "deleted\n"), "{err}");

    // A folder that was there before is kept, whatever fails.
    std::fs::write(&file, "nonsense").unwrap();
    assert_eq!(statefun(&import, NOBODY).await.0, 1);
    assert!(folder.path().join("new").exists());
}
