//! Kind: unlimited input from files. A module with `tls: {ca: /dev/zero}` made `check` read until all memory was used; a pipe in place of a file, as a
//! module file, too, made it wait for ever without a word.
//!
//! Right is: what is not a regular file is refused, each with its setting; a pipe is a module file only while somebody writes to it.

use std::process::Command;

use super::cli::check;

const DEVICE: &str = "/dev/zero: it is a pipe, a socket or a device; name a regular file";

#[test]
fn certificates_and_keys_of_exports_are_regular_files_of_limited_size() {
    let export = |tls: &str| {
        let stage = format!("http-export: {{url: 'https://h/', tls: {{{tls}}}}}");
        check(
            &format!(
                "kind: statefun.pipelines.v1/pipeline\nspec: {{name: p, stages: [{stage}]}}\n"
            ),
            &[],
        )
    };
    for (tls, keys) in [
        ("ca: /dev/zero", &["tls.ca"][..]),
        ("cert: /dev/zero, key: /dev/zero", &["tls.cert", "tls.key"]),
    ] {
        let (code, out) = export(tls);
        assert_eq!(code, 1, "{out}");
        for key in keys {
            assert!(out.contains(key), "{key} in {out}");
        }
        let refused = "/dev/zero cannot be read: it is a pipe, a socket or a device";
        assert_eq!(out.matches(refused).count(), keys.len(), "{out}");
    }
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.pem");
    let file = std::fs::File::create(&large).unwrap();
    file.set_len(1 << 40).unwrap();
    let (code, out) = export(&format!("ca: '{}'", large.display()));
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("it is larger than 16 MiB"), "{out}");
}

#[test]
fn certificates_and_keys_of_endpoints_are_regular_files() {
    let keys = [
        "trust_cacerts",
        "client_cert",
        "client_key",
        "client_key_password",
    ];
    let files: Vec<String> = keys.iter().map(|key| format!("{key}: /dev/zero")).collect();
    let module = format!(
        "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: a/b\n  urlPathTemplate: https://h/\n  transport: {{type: io.statefun.transports.v1/async, {}}}\n",
        files.join(", ")
    );
    let (_, out) = check(&module, &["--for", "flink"]);
    for key in keys {
        assert!(out.contains(&format!("`{key}` {DEVICE}")), "{key} in {out}");
    }
}

#[test]
fn a_pipe_that_nobody_writes_to_is_not_a_module_file() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let output = Command::new(env!("CARGO_BIN_EXE_statefun"))
        .args(["check".as_ref(), pipe.as_os_str()])
        .output()
        .unwrap();
    let err = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(
        err.contains("pipe: it is a pipe, and nothing is written to it"),
        "{err}"
    );
}
