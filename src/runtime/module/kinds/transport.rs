//! How an endpoint is called: `transport` of `io.statefun.endpoints.v2/http`, `timeouts` of v1.

use std::time::Duration;

use super::super::fields::{self, Fields};
use super::super::finding::Complaint;
use super::super::nearest::nearest;
use super::super::yaml::Node;

const ASYNC: &str = "io.statefun.transports.v1/async";
const OKHTTP: &str = "io.statefun.transports.v1/okhttp";

/// How an endpoint is called. The two differ in their time limits and in what they try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Every failed attempt is tried again until the budget is used up.
    Async(AsyncTransport),
    /// Only some failures are tried again.
    OkHttp(OkHttpTransport),
}

/// `io.statefun.transports.v1/async`, the default of v2 endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsyncTransport {
    /// The budget of a call, all its attempts and waits included. Default 2 min.
    pub call: Duration,
    /// How long connecting may take, and waiting for a pooled connection. Default 20 s.
    pub connect: Duration,
    /// Connections per function type. Default 1024.
    pub pool_size: usize,
    /// A connection is closed when it is older; `None`: never. Default 15 s.
    pub pool_ttl: Option<Duration>,
    /// Answers beyond it are failed attempts. Default 32 MiB.
    pub payload_max_bytes: usize,
    /// Files for TLS.
    pub tls: TlsFiles,
}

/// `io.statefun.transports.v1/okhttp`, and what v1 endpoints use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OkHttpTransport {
    /// The budget of a call, all its attempts and waits included. Default 1 min.
    pub call: Duration,
    /// How long connecting may take. Default 10 s.
    pub connect: Duration,
    /// How long the answer may pause. Default 10 s.
    pub read: Duration,
    /// How long sending may pause. Default 10 s.
    pub write: Duration,
}

/// Files with certificates and keys, by path or `classpath:` name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust.
    pub trust_cacerts: Option<String>,
    /// Our certificate.
    pub client_cert: Option<String>,
    /// Its private key in PKCS#8.
    pub client_key: Option<String>,
    /// A file with the password of the private key.
    pub client_key_password: Option<String>,
}

impl Default for AsyncTransport {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(120),
            connect: Duration::from_secs(20),
            pool_size: 1024,
            pool_ttl: Some(Duration::from_secs(15)),
            payload_max_bytes: 32 << 20,
            tls: TlsFiles::default(),
        }
    }
}

impl Default for OkHttpTransport {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            read: Duration::from_secs(10),
            write: Duration::from_secs(10),
        }
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self::Async(AsyncTransport::default())
    }
}

/// A fault that StateFun would find at the first call.
pub(super) type Lazy = Option<String>;

/// Collects the first of them and warns of each.
pub(super) struct LazyFaults {
    /// What StateFun says about all of them.
    prefix: &'static str,
    pub(super) first: Lazy,
}

impl LazyFaults {
    pub(super) const fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            first: None,
        }
    }

    pub(super) fn add(&mut self, fields: &Fields<'_>, key: &str, complaint: Complaint) {
        let message = format!("{}{}", self.prefix, complaint.message);
        let complaint = Complaint {
            message: message.clone(),
            remedy: complaint.remedy,
        };
        fields.findings().lazy_fault(fields.finding(key, complaint));
        self.first.get_or_insert(message);
    }

    /// The value of `key`; a fault is kept for the first call.
    fn read<T>(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        let node = fields.node(key)?;
        read(node)
            .map_err(|complaint| self.add(fields, key, complaint))
            .ok()
    }
}

/// Reads `transport` of a v2 endpoint.
pub(super) fn read_v2(spec: &mut Fields<'_>) -> (Transport, Lazy) {
    let Some(mut fields) = spec.child("transport") else {
        return (Transport::default(), None);
    };
    let read = match fields.optional("type", fields::text).as_deref() {
        None | Some(ASYNC) => read_async,
        Some(OKHTTP) => read_okhttp,
        Some(other) => {
            fields.fault("type", unknown_type(other));
            return (Transport::default(), None);
        }
    };
    let result = read(&mut fields);
    fields.finish();
    result
}

/// Reads `timeouts` of a v1 endpoint.
pub(super) fn read_v1(spec: &mut Fields<'_>) -> (Transport, Lazy) {
    read_okhttp(spec)
}

fn unknown_type(text: &str) -> Complaint {
    let Some((namespace, name)) = text.split_once('/') else {
        return fields::invalid_type_name(text);
    };
    let remedy = nearest(text, [ASYNC, OKHTTP]).map_or_else(
        || format!("known transports: {ASYNC}, {OKHTTP}"),
        |known| format!("did you mean `{known}`?"),
    );
    let message = format!("An extension with type TypeName({namespace}, {name}) does not exist.");
    Complaint::with_remedy(message, remedy)
}

fn read_async(fields: &mut Fields<'_>) -> (Transport, Lazy) {
    let mut lazy = LazyFaults::new("Unable to parse Netty transport spec. ");
    let default = AsyncTransport::default();
    let mut call = lazy.read(fields, "call", fields::duration);
    let mut connect = lazy.read(fields, "connect", fields::duration);
    if let Some(mut timeouts) = fields.child("timeouts") {
        // For files written for okhttp: its members win, its defaults fill the gaps.
        let okhttp = OkHttpTransport::default();
        call = lazy
            .read(&mut timeouts, "call", timeout)
            .or(Some(okhttp.call));
        connect = lazy
            .read(&mut timeouts, "connect", timeout)
            .or(Some(okhttp.connect));
        // Meant for the other transport, known to this one.
        let _ = (timeouts.node("read"), timeouts.node("write"));
        timeouts.finish();
    }
    let pool_size = lazy.read(fields, "pool_size", fields::count);
    let pool_ttl = lazy.read(fields, "pool_ttl", pool_ttl);
    let payload_max_bytes = lazy.read(fields, "payload_max_bytes", fields::count);
    let tls = TlsFiles {
        trust_cacerts: lazy.read(fields, "trust_cacerts", fields::filled_text),
        client_cert: lazy.read(fields, "client_cert", fields::filled_text),
        client_key: lazy.read(fields, "client_key", fields::filled_text),
        client_key_password: lazy.read(fields, "client_key_password", fields::filled_text),
    };
    if tls.client_cert.is_some() != tls.client_key.is_some() {
        let given = if tls.client_cert.is_some() {
            "client_cert"
        } else {
            "client_key"
        };
        let text = "You need to provide both the cert and they key if you want to use mutual TLS.";
        lazy.add(fields, given, text.into());
    }
    let transport = AsyncTransport {
        call: call.unwrap_or(default.call),
        connect: connect.unwrap_or(default.connect),
        pool_size: pool_size.unwrap_or(default.pool_size),
        pool_ttl: pool_ttl.unwrap_or(default.pool_ttl),
        payload_max_bytes: payload_max_bytes.unwrap_or(default.payload_max_bytes),
        tls,
    };
    (Transport::Async(transport), lazy.first)
}

fn read_okhttp(fields: &mut Fields<'_>) -> (Transport, Lazy) {
    let mut lazy =
        LazyFaults::new("Unable to parse transport client properties when creating client: ");
    let mut transport = OkHttpTransport::default();
    let Some(mut timeouts) = fields.child("timeouts") else {
        return (Transport::OkHttp(transport), None);
    };
    for (key, value) in [
        ("call", &mut transport.call),
        ("connect", &mut transport.connect),
        ("read", &mut transport.read),
        ("write", &mut transport.write),
    ] {
        if let Some(given) = lazy.read(&mut timeouts, key, timeout) {
            *value = given;
        }
    }
    for (key, name, value) in [
        ("connect", "Connect", transport.connect),
        ("read", "Read", transport.read),
        ("write", "Write", transport.write),
    ] {
        if value > transport.call {
            let text = format!("{name} timeout cannot be larger than request timeout.");
            lazy.add(&timeouts, key, text.into());
        }
    }
    timeouts.finish();
    (Transport::OkHttp(transport), lazy.first)
}

fn timeout(node: &Node) -> Result<Duration, Complaint> {
    match fields::duration(node)? {
        Duration::ZERO => Err("Timeout durations must be larger than 0.".into()),
        timeout => Ok(timeout),
    }
}

/// Zero and less: connections do not age.
fn pool_ttl(node: &Node) -> Result<Option<Duration>, Complaint> {
    if fields::integer(node).is_ok_and(|ttl| ttl <= 0) {
        return Ok(None);
    }
    Ok(Some(fields::duration(node)?).filter(|ttl| !ttl.is_zero()))
}
