//! The addresses of a Kafka cluster, as Java's client reads them: `host:port`, several with commas.

use crate::document::{Complaint, Finding};

use super::places::Places;

/// What is wrong with `address`, at the place of that field.
pub(super) fn faults(address: &str, places: &Places) -> Vec<Finding> {
    let servers = address.split(',').map(str::trim);
    let mut faults: Vec<Complaint> = Vec::new();
    let mut is_empty = true;
    for server in servers.filter(|server| !server.is_empty()) {
        is_empty = false;
        faults.extend(fault(server));
    }
    if is_empty {
        let complaint = Complaint::with_remedy(
            "No resolvable bootstrap urls given in bootstrap.servers: no server is named",
            REMEDY,
        );
        faults.push(complaint);
    }
    let faults = faults.into_iter();
    faults
        .map(|complaint| places.finding("address", complaint))
        .collect()
}

const REMEDY: &str = "write host:port, several with commas";

/// What is wrong with one server. A protocol before the host is skipped, as Java's client does.
fn fault(server: &str) -> Option<Complaint> {
    let invalid = |what: &str| {
        let text = format!("Invalid url in bootstrap.servers: {server}: {what}");
        Some(Complaint::with_remedy(text, REMEDY))
    };
    let (_, behind) = server.rsplit_once("://").unwrap_or(("", server));
    let parts = behind.rsplit_once(':').filter(|(_, port)| !port.is_empty());
    let Some((host, port)) = parts else {
        return invalid("the port is missing");
    };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_known = |c: char| c.is_ascii_alphanumeric() || "-._%".contains(c);
    let is_host = match is_bracketed {
        true => host.chars().all(|c| is_known(c) || c == ':'),
        false => host.chars().all(is_known),
    };
    let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
    if host.is_empty() || !(is_host || is_address) {
        return invalid("there is no host name before the port");
    }
    match port.parse::<u16>() {
        Ok(1..) => None,
        _ => invalid(&format!("the port {port} is not one of 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(address: &str) -> Vec<String> {
        let faults = faults(address, &Places::default());
        faults.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn what_javas_client_takes_is_taken() {
        for address in [
            "kafka:9092",
            "a.b-c:1, d:65535",
            "a:1,,b:2,",
            "[::1]:9092",
            "PLAINTEXT://kafka:9092",
            "10.0.0.1:9092",
        ] {
            assert_eq!(found(address), [""; 0], "{address}");
        }
    }

    #[test]
    fn each_server_that_cannot_be_one_is_named() {
        for (address, words) in [
            (
                ":::,,x:99999",
                &["the port is missing", "the port 99999"][..],
            ),
            ("kafka", &["the port is missing"]),
            ("kafka:", &["the port is missing"]),
            ("kafka:0", &["the port 0"]),
            (":9092", &["no host name"]),
            ("a b:9092", &["no host name"]),
            ("", &["no server is named"]),
            (", ,", &["no server is named"]),
        ] {
            let found = found(address).join("; ");
            for word in words {
                assert!(found.contains(word), "{address}: {found}");
            }
        }
        assert_eq!(found(":::,,x:99999").len(), 2);
    }
}
