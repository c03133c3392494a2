//! Sources and sinks: every connector runs the suite of its trait, with random kills. `STATEFUN_SEED` replays one.

mod contract;
mod edges;
mod listeners;
mod shown;
mod simulation;

use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::RuntimeBuilder;

/// Binds what the module file `text` declares.
pub(crate) fn with(builder: RuntimeBuilder, text: &str) -> RuntimeBuilder {
    let file = ModuleFile {
        name: "module.yaml",
        text,
    };
    let module = Module::parse(&[file], &Placeholders::Literal).unwrap();
    builder.module(&module).unwrap()
}
