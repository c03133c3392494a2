//! Kind: an empty secret counts as a secret. `STATEFUN_ADMIN_TOKEN=` with `--admin 0.0.0.0:…` started, and over HTTP/2 an empty
//! `authorization: Bearer ` was let in.

use std::process::Command;

use stateful_functions::module::{Module, ModuleFile, Placeholders};

fn statefun(args: &[&str], token: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_statefun"));
    command.args(args).env("STATEFUN_ADMIN_TOKEN", token);
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_runtime_does_not_start_with_an_empty_or_a_weak_token() {
    for (token, what) in [
        ("", "is empty"),
        ("short", "has 5 characters"),
        ("with spaces in it", "spaces"),
        ("line-end-of-a-file\n", "line ends"),
    ] {
        let args = ["run", "--ephemeral", "--admin", "0.0.0.0:0"];
        let (code, told) = statefun(&args, token);
        assert_eq!(code, 1, "{told}");
        assert!(
            told.contains(what) && told.contains("STATEFUN_ADMIN_TOKEN"),
            "{told}"
        );
        assert!(token.is_empty() || !told.contains(token), "{told}");
    }
    let args = [
        "run",
        "--ephemeral",
        "--admin",
        "0.0.0.0:0",
        "--admin-token",
        "",
    ];
    let (code, told) = statefun(&args, "long-enough");
    assert!(code == 1 && told.contains("--admin-token"), "{told}");
}

#[test]
fn commands_refuse_an_empty_token_instead_of_sending_it() {
    let (code, told) = statefun(&["queues", "--admin", "127.0.0.1:9"], "");
    assert!(code == 1 && told.contains("the token is empty"), "{told}");
}

#[test]
fn a_weak_token_in_a_module_is_a_fault_with_its_location() {
    for (token, what) in [
        ("''", "empty"),
        ("short", "has 5 characters"),
        ("'two words'", "spaces"),
    ] {
        let text = format!(
            "kind: statefun.http.v1/ingress\nspec: {{listen: '127.0.0.1:0', token: {token}}}\n"
        );
        let file = ModuleFile {
            name: "module.yaml",
            text: &text,
        };
        let invalid = Module::parse(&[file], &Placeholders::Literal).unwrap_err();
        let told = invalid.to_string();
        assert!(
            told.contains("module.yaml:2:") && told.contains("`spec.token`") && told.contains(what),
            "{told}"
        );
    }
}
