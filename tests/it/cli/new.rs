//! `statefun new`; the tutorial builds, tests and runs what it makes.

use std::path::Path;

use super::statefun;

fn new(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = statefun()
        .arg("new")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_project_has_its_name_everywhere_and_nothing_left_to_fill_in() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = new(folder.path(), &["my-shop"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("cd my-shop\n") && out.contains("statefun call my-shop/cart/bob"),
        "{out}"
    );
    let read =
        |path: &str| std::fs::read_to_string(folder.path().join("my-shop").join(path)).unwrap();
    for path in [
        "Cargo.toml",
        "src/lib.rs",
        "src/main.rs",
        "src/cart.rs",
        "src/customer.rs",
        "tests/functions.rs",
        "module.yaml",
        "Dockerfile",
        "README.md",
    ] {
        let text = read(path);
        assert!(
            text.contains("my-shop") || text.contains("my_shop"),
            "{path}: {text}"
        );
        assert!(
            !text.contains("{{name") && !text.contains("{{crate") && !text.contains("{{dep"),
            "{path}: {text}"
        );
    }
    assert!(read("src/main.rs").contains("my_shop::functions()"));
    let library = format!("path = \"{}\"", env!("CARGO_MANIFEST_DIR"));
    assert_eq!(read("Cargo.toml").matches(&library).count(), 2);
    assert_eq!(read(".gitignore"), "/target\n/statefun-data\n");
}

/// The Dockerfile of a project was no use where the library is a folder, which is the default: docker copies nothing from outside of the project.
#[test]
fn docker_gets_the_library_where_cargo_looks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
    assert_eq!(new(folder.path(), &["a"]).0, 0);
    let (docker, library) = (read("a/Dockerfile"), env!("CARGO_MANIFEST_DIR"));
    let command = format!("docker build --build-context stateful-functions='{library}' -t a .\n");
    assert!(docker.contains(&command), "{docker}");
    let copy = format!("\nCOPY --from=stateful-functions [\".\", \"{library}\"]\nWORKDIR");
    assert!(docker.contains(&copy), "{docker}");
    assert!(read("a/Cargo.toml").contains(&format!("path = \"{library}\"")));

    let url = "https://git.example/stateful-functions.git";
    assert_eq!(new(folder.path(), &["b", "--git", url]).0, 0);
    let docker = read("b/Dockerfile");
    assert!(docker.contains("docker build -t b .\n"), "{docker}");
    assert!(docker.contains("AS build\nWORKDIR /src\n"), "{docker}");
    for docker in [docker, read("a/Dockerfile")] {
        assert!(!docker.contains("{{"), "{docker}");
    }
}

#[test]
fn the_module_of_a_new_project_is_fine() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(new(folder.path(), &["shop"]).0, 0);
    let check = statefun()
        .arg("check")
        .current_dir(folder.path().join("shop"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(check.stdout).unwrap(),
        "no faults, no warnings\n"
    );
}

#[test]
fn the_library_is_taken_from_where_it_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let url = "https://git.example/stateful-functions.git";
    assert_eq!(new(folder.path(), &["a", "--git", url]).0, 0);
    let manifest = std::fs::read_to_string(folder.path().join("a/Cargo.toml")).unwrap();
    assert!(
        manifest.contains(&format!("{{ git = \"{url}\", features")),
        "{manifest}"
    );
    let (code, _, err) = new(folder.path(), &["b", "--path", "."]);
    assert_eq!(code, 1);
    assert!(
        err.contains("--path . is not a checkout of stateful-functions"),
        "{err}"
    );
    assert!(!folder.path().join("b").exists(), "nothing is half made");
}

#[test]
fn a_name_that_cargo_refuses_and_a_folder_that_exists_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, told) in [
        ("2shop", "begins with a letter"),
        ("shop/cart", "begins with a letter"),
        ("fn", "is a keyword of Rust"),
        ("test", "is the name of a crate"),
    ] {
        let (code, _, err) = new(folder.path(), &[name]);
        assert_eq!(code, 2, "{name}");
        assert!(err.contains(told), "{name}: {err}");
    }
    std::fs::write(folder.path().join("shop"), "mine").unwrap();
    let (code, _, err) = new(folder.path(), &["shop"]);
    assert_eq!(code, 1);
    assert!(err.contains("`shop` exists here already"), "{err}");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("shop")).unwrap(),
        "mine"
    );
}

#[test]
fn names_that_cargo_forbids_and_malformed_urls_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["build", "deps", "examples", "incremental"] {
        let (code, _, err) = new(folder.path(), &[name]);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(&format!("cargo forbids `{name}`")), "{err}");
    }
    for url in ["", "not a url\"x"] {
        let (code, _, err) = new(folder.path(), &["shop", "--git", url]);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("URL"), "{err}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
