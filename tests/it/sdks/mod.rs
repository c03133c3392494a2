//! SF-65: functions of the unmodified official SDKs on the embedded runtime: the binary, their servers, an ingress over HTTP,
//! records in files. The functions are the interpreters of `tests/functions`.

mod alone;
mod home;
