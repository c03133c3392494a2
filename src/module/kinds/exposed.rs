//! Listeners that are reached from beyond this machine.

use std::net::IpAddr;

/// Whether listening on `host` can be reached from the network. A name other than `localhost` may lead anywhere.
pub(super) fn is_exposed(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    !host.eq_ignore_ascii_case("localhost") && !host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_and_localhost_are_this_machine_alone() {
        for inner in [
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "::1",
            "localhost",
            "LocalHost",
        ] {
            assert!(!is_exposed(inner), "{inner}");
        }
        for outer in [
            "0.0.0.0",
            "[::]",
            "192.168.1.5",
            "statefun.internal",
            "localhost.example",
        ] {
            assert!(is_exposed(outer), "{outer}");
        }
    }
}
