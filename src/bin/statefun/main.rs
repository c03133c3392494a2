//! The `statefun` binary.

fn main() {}
