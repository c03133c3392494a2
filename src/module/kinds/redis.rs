//! What the kinds for Redis have in common: the server, and how to sign in.

use std::path::PathBuf;

use crate::document::{Complaint, Fields, Node, scalar};
use crate::pipeline::{ExportTls, read_tls};

use super::super::Secret;

/// A Redis server, and how to sign in there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisServer {
    /// Its host name or IP address.
    pub host: String,
    /// Its port. Default 6379.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// The authorities to trust and the client's own certificate, with TLS.
    pub tls: ExportTls,
    /// The number of the database. Default 0. Channels are the same in all databases.
    pub database: u32,
    /// The user. Default: the server's default user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// A file with the password; a line end at its end does not count.
    pub password_file: Option<PathBuf>,
}

impl RedisServer {
    /// `host:port`, for messages.
    pub fn name(&self) -> String {
        format!("Redis {}:{}", self.host, self.port)
    }
}

/// Reads the keys of a server, and reports all their faults.
pub(super) fn server(fields: &Fields<'_>) -> Option<RedisServer> {
    let url = fields.must("url", url);
    let database = fields.optional("database", database);
    let username = fields.optional("username", scalar::filled_text);
    let password = fields.optional("password", scalar::filled_text);
    let password_file = fields.optional("passwordFile", scalar::filled_text);
    let tls = fields.get("tls").map(|at| read_tls(&at));
    let has_password = password.is_some() || password_file.is_some();
    if fields.has("password") && fields.has("passwordFile") {
        fields.fault(
            "passwordFile",
            "give `password` or `passwordFile`, not both",
        );
    }
    if username.is_some() && !has_password {
        fields.fault("username", "a user has a `password` or a `passwordFile`");
    }
    let url = url?;
    if !url.is_tls && fields.has("tls") {
        let remedy = "write rediss:// in `url`, or remove `tls`";
        let complaint = Complaint::with_remedy("the connection is not encrypted", remedy);
        fields.fault("tls", complaint);
    }
    if url.database.is_some() && fields.has("database") {
        fields.fault("database", "the number of the database is in `url` already");
    }
    Some(RedisServer {
        host: url.host,
        port: url.port,
        is_tls: url.is_tls,
        tls: tls.unwrap_or_else(|| Some(ExportTls::default()))?,
        database: database.or(url.database).unwrap_or_default(),
        username,
        password: password.map(Secret::new),
        password_file: password_file.map(PathBuf::from),
    })
}

/// `redis://host:port/database`, or `rediss://` with TLS.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    host: String,
    port: u16,
    is_tls: bool,
    database: Option<u32>,
}

fn url(node: &Node) -> Result<Url, Complaint> {
    parse_url(&scalar::filled_text(node)?)
}

fn parse_url(text: &str) -> Result<Url, Complaint> {
    let remedy = "write it as redis://host:6379, or rediss://host:6379 with TLS";
    // The text is not repeated: it may hold a password.
    let not_one = |what: &str| Complaint::with_remedy(what.to_owned(), remedy);
    let (is_tls, rest) = match text.split_once("://") {
        Some(("redis", rest)) => (false, rest),
        Some(("rediss", rest)) => (true, rest),
        Some((scheme, _)) => {
            return Err(not_one(&format!("`{scheme}` is not a scheme of Redis")));
        }
        None => return Err(not_one("not a URL of a Redis server")),
    };
    if rest.contains('@') {
        let remedy = "set `username` and `password`";
        let what = "user and password do not belong in the URL";
        return Err(Complaint::with_remedy(what, remedy));
    }
    let (rest, database) = match rest.split_once('/') {
        Some((rest, "")) => (rest, None),
        Some((rest, number)) => match number.parse() {
            Ok(number) => (rest, Some(number)),
            Err(_) => {
                return Err(not_one(
                    "the URL of a server has a host, a port, and at most the number of a database",
                ));
            }
        },
        None => (rest, None),
    };
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an IPv6 address.
        Some((before, _)) if before.starts_with('[') && !before.ends_with(']') => (rest, "6379"),
        Some((host, port)) => (host, port),
        None => (rest, "6379"),
    };
    let port = match port.parse() {
        Ok(port) if port > 0 => port,
        _ => return Err(not_one(&format!("`{port}` is not a port"))),
    };
    if matches!(host, "" | "[]") || host.contains(['?', '#']) || host.contains(char::is_whitespace)
    {
        return Err(not_one("the host is missing, or is not a host"));
    }
    Ok(Url {
        host: host.to_owned(),
        port,
        is_tls,
        database,
    })
}

fn database(node: &Node) -> Result<u32, Complaint> {
    let number = scalar::whole(node)?;
    u32::try_from(number).map_err(|_| format!("{number} is not the number of a database").into())
}

/// The name of a stream, a group or a field: any text that is not empty.
pub(super) fn name(node: &Node) -> Result<String, Complaint> {
    scalar::filled_text(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, u16, bool, Option<u32>), String> {
        let url = parse_url(text).map_err(|complaint| complaint.message)?;
        Ok((url.host, url.port, url.is_tls, url.database))
    }

    #[test]
    fn the_url_of_a_server_has_a_host_a_port_and_a_database() {
        let url =
            |host: &str, port, is_tls, database| Ok((host.to_owned(), port, is_tls, database));
        assert_eq!(read("redis://cache"), url("cache", 6379, false, None));
        assert_eq!(
            read("redis://10.0.0.1:1/2"),
            url("10.0.0.1", 1, false, Some(2))
        );
        assert_eq!(read("rediss://[::1]:7/"), url("[::1]", 7, true, None));
        for wrong in [
            "cache:6379",
            "http://cache",
            "redis://",
            "redis://:6379",
            "redis://cache:0",
            "redis://cache:x",
            "redis://cache/x",
            "redis://me:pass@cache",
        ] {
            let fault = read(wrong).unwrap_err();
            assert!(!fault.contains("pass@"), "{fault}");
        }
    }
}
