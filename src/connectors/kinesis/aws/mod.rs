//! What every service of AWS needs: signatures, credentials, regions and endpoints.
//!
//! `sign` and the readers of files and answers are pure; `chain` asks files and servers; `credentials` keeps what was found and renews it.

mod chain;
mod credentials;
mod metadata;
mod profile;
mod region;
mod sign;
mod sts;

pub(super) use self::chain::{Chain, Given};
pub(super) use self::credentials::{Credentials, Provider};
pub(super) use self::region::{endpoint, region};
pub(super) use self::sign::sign;
