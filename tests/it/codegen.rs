//! The checked-in wire types match `proto/`. Run with `cargo test --features codegen --test it codegen`.

use std::fs;
use std::path::Path;

const PACKAGES: [&str; 3] = [
    "io.statefun.sdk.reqreply.rs",
    "io.statefun.sdk.types.rs",
    "io.statefun.sdk.egress.rs",
];

#[test]
fn checked_in_wire_types_equal_the_generated_ones() {
    let generated = Path::new(env!("OUT_DIR"));
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol/generated");
    let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let stale: Vec<_> = PACKAGES
        .into_iter()
        .filter(|name| read(generated, name) != read(&checked_in, name))
        .collect();
    assert!(
        stale.is_empty(),
        "{stale:?} are out of date; run\n  cp {}/*.rs src/protocol/generated/",
        generated.display()
    );
}
