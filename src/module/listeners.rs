//! The listeners of a module: two with the same address are a fault of the file, found before the start.

use crate::document::{Complaint, Finding, Location};

use super::Draft;

/// An address on which a document listens, and its location.
#[derive(Debug, Clone)]
pub(super) struct Listening {
    /// The name, such as `http ingress`.
    pub(super) name: &'static str,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) at: Finding,
}

impl Listening {
    /// Splits `host:port`; `None` for another form, which is reported elsewhere.
    pub(super) fn new(name: &'static str, address: &str, at: Finding) -> Option<Self> {
        let (host, port) = split(address)?;
        Some(Self {
            name,
            host: host.to_owned(),
            port,
            at,
        })
    }

    fn collides_with(&self, host: &str, port: u16) -> bool {
        self.port != 0 && self.port == port && overlap(&self.host, host)
    }
}

/// The fault of two listeners with the same address. `other` already has it.
fn collision(listening: &Listening, other: &str, remedy: impl Into<String>) -> Finding {
    let text = format!(
        "the {} would listen on {}:{}, where {other} listens",
        listening.name, listening.host, listening.port
    );
    let complaint = Complaint::with_remedy(text, remedy);
    Finding::new(
        listening.at.location.clone(),
        listening.at.path.as_str(),
        complaint,
    )
}

/// Reports every listener whose address an earlier document already has.
pub(super) fn check(draft: &Draft<'_>) {
    let all = &draft.module.listeners;
    for (n, listening) in all.iter().enumerate() {
        let mut earlier = all.iter().take(n);
        if let Some(first) = earlier.find(|one| one.collides_with(&listening.host, listening.port))
        {
            let other = format!("the {} of {}", first.name, first.at.location);
            let finding = collision(listening, &other, "give one of them another port");
            draft.findings.fault(finding);
        }
    }
}

/// The listeners with the address of the admin API, `admin`.
pub(super) fn with_admin(all: &[Listening], admin: &str) -> Vec<Finding> {
    let Some((host, port)) = split(admin) else {
        return Vec::new();
    };
    let remedy = format!(
        "move one of them: the admin API with `--admin HOST:PORT`, such as {host}:{}",
        port.checked_add(1).unwrap_or(8191)
    );
    all.iter()
        .filter(|listening| listening.collides_with(host, port))
        .map(|listening| collision(listening, "the admin API", remedy.as_str()))
        .collect()
}

/// Where the files say that something listens on `address`, written `host:port`.
pub(super) fn location<'a>(all: &'a [Listening], address: &str) -> Option<&'a Location> {
    let (host, port) = split(address)?;
    let mut all = all.iter();
    let found = all.find(|one| one.port == port && one.host == host)?;
    Some(&found.at.location)
}

fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port.parse().ok()?))
}

/// Whether listeners on these hosts cannot have the same port.
fn overlap(one: &str, two: &str) -> bool {
    let is_any = |host: &str| matches!(host, "" | "0.0.0.0" | "::" | "*");
    // The name may mean either address of this machine.
    let is_name = |host: &str| host.eq_ignore_ascii_case("localhost");
    let is_address = |host: &str| matches!(host, "127.0.0.1" | "::1");
    one.eq_ignore_ascii_case(two)
        || is_any(one)
        || is_any(two)
        || (is_name(one) && is_address(two))
        || (is_address(one) && is_name(two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_overlap_when_one_is_all_interfaces_or_both_are_the_same() {
        for (one, two, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "LOCALHOST", true),
            ("localhost", "::1", true),
            ("0.0.0.0", "10.0.0.1", true),
            ("::", "127.0.0.1", true),
            ("127.0.0.1", "10.0.0.1", false),
            ("127.0.0.1", "::1", false),
        ] {
            assert_eq!(overlap(one, two), expected, "{one} {two}");
            assert_eq!(overlap(two, one), expected, "{two} {one}");
        }
    }
}
