//! What functions see of a runtime: a scripted function server behind the real StateFun and behind ours.
//!
//! A script says what the server answers, call by call, and which messages are sent. The tables of scripts are in `harmless`, `fatal` and
//! `restarts`; `random` makes them from seeds. Each script runs on both runtimes with the same module, and the server must get the same requests.

mod declarations;
mod embedded;
mod fatal;
mod harmless;
mod host;
mod limits;
mod random;
mod restarts;
mod script;
mod strict;
mod transcript;
