//! What functions see of a runtime: a scripted function server behind the real StateFun and behind ours.
//!
//! A script says what the server answers, call by call, and what is fed; the tables of scripts are in `harmless`, `fatal` and `restarts`, and
//! `random` makes them from seeds.
//! Each is played on both runtimes, with the same module, and what the server was sent must be the same.

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
