//! Bytes in, bytes out: one request of a StateFun runtime, one reply. No I/O; awaits the user's functions only.
