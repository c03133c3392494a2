//! What functions see of a runtime: a scripted function server behind the real StateFun and behind ours.

mod embedded;
mod strict;
