//! The transport of an endpoint: `transport` of `io.statefun.endpoints.v2/http`, `timeouts` of v1.

use std::time::Duration;

use crate::document::{Complaint, Fields, Node, nearest};
use crate::sdk::TypeName;

use super::super::coerce;
use super::unknown_extension;

const ASYNC: &str = "io.statefun.transports.v1/async";
const OKHTTP: &str = "io.statefun.transports.v1/okhttp";

/// How an endpoint is called. The two transports differ in their time limits and in the failures that they retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Every failed attempt is retried until the time budget is used up.
    Async(AsyncTransport),
    /// Only some failures are retried.
    OkHttp(OkHttpTransport),
}

/// `io.statefun.transports.v1/async`, the default of v2 endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsyncTransport {
    /// The time budget of a call, including all attempts and waits. Default 2 min.
    pub call: Duration,
    /// Limit for connecting, and for waiting for a pooled connection. Default 20 s.
    pub connect: Duration,
    /// Connections per function type. Default 1024.
    pub pool_size: usize,
    /// A connection is closed at this age; `None`: never. Default 15 s.
    pub pool_ttl: Option<Duration>,
    /// A larger response fails the attempt. Default 32 MiB.
    pub payload_max_bytes: usize,
    /// Files for TLS.
    pub tls: TlsFiles,
}

/// `io.statefun.transports.v1/okhttp`, and what v1 endpoints use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OkHttpTransport {
    /// The time budget of a call, including all attempts and waits. Default 1 min.
    pub call: Duration,
    /// Limit for connecting. Default 10 s.
    pub connect: Duration,
    /// Limit for pauses while receiving. Default 10 s.
    pub read: Duration,
    /// Limit for pauses while sending. Default 10 s.
    pub write: Duration,
}

/// Files with certificates and keys, by path or `classpath:` name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust.
    pub trust_cacerts: Option<String>,
    /// The client certificate.
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

/// Collects the first of these faults, and warns of each.
pub(super) struct LazyFaults {
    /// StateFun's text for all of them.
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
        let upstream = format!("{}{}", self.prefix, complaint.message);
        self.add_bare(fields, key, complaint.upstream(upstream));
    }

    /// The same without the prefix: StateFun finds it after reading everything.
    fn add_bare(&mut self, fields: &Fields<'_>, key: &str, complaint: Complaint) {
        // At the first call StateFun's own text is used, because users search for it.
        let message = complaint
            .upstream
            .as_ref()
            .unwrap_or(&complaint.message)
            .clone();
        fields.findings().lazy_fault(fields.finding(key, complaint));
        self.first.get_or_insert(message);
    }

    /// The value of `key`; a fault is kept for the first call. A key without a value counts as absent.
    fn read<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        let node = fields.node(key)?;
        read(node)
            .map_err(|complaint| self.add(fields, key, complaint))
            .ok()
    }

    /// A number; no value stands for the default.
    fn read_int(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<i32> {
        self.read(fields, key, coerce::int).flatten()
    }

    /// The member `key` of `timeouts`; no value is a fault.
    fn read_timeout(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<Duration> {
        let node = fields.given(key)?;
        timeout(node)
            .map_err(|complaint| self.add(fields, key, complaint))
            .ok()
    }
}

/// Reads `transport` of a v2 endpoint. `is_tls`: the endpoint is called over TLS.
pub(super) fn read_v2(spec: &Fields<'_>, is_tls: bool) -> (Transport, Lazy) {
    let Some(fields) = coerce::mapping_at(spec, "transport") else {
        return (Transport::default(), None);
    };
    let fields = fields.elsewhere(BESIDE_TRANSPORT);
    let name = fields.value("type", |node| {
        let text = coerce::only_text(node).map_err(|complaint| Complaint {
            message: "Wrong type for key /type not a string".to_owned(),
            ..complaint
        })?;
        let (name, remark) = coerce::type_name_of(&text)?;
        match name.as_str() {
            ASYNC | OKHTTP => Ok((name, remark)),
            _ => Err(unknown_type(&name)),
        }
    });
    if let Some((_, Some(remark))) = &name {
        fields.warn("type", remark.as_str());
    }
    let result = match name.as_ref().map_or(ASYNC, |(name, _)| name.as_str()) {
        OKHTTP => read_okhttp(&fields),
        _ => read_async(&fields, is_tls),
    };
    fields.finish();
    result
}

/// Settings of an endpoint that are easily mistaken for settings of its transport.
const BESIDE_TRANSPORT: &[(&str, &str)] = &[
    ("maxNumBatchRequests", "beside `transport`, in `spec`"),
    ("functions", "beside `transport`, in `spec`"),
    ("urlPathTemplate", "beside `transport`, in `spec`"),
    ("read", "into `timeouts`"),
    ("write", "into `timeouts`"),
];

/// Reads `timeouts` of a v1 endpoint.
pub(super) fn read_v1(spec: &Fields<'_>) -> (Transport, Lazy) {
    read_okhttp(spec)
}

fn unknown_type(name: &TypeName) -> Complaint {
    let remedy = nearest(name.as_str(), [ASYNC, OKHTTP]).map_or_else(
        || format!("known transports: {ASYNC}, {OKHTTP}"),
        |known| format!("did you mean `{known}`?"),
    );
    Complaint::with_remedy(format!("the transport `{name}` is unknown"), remedy)
        .upstream(unknown_extension(name))
}

fn read_async(fields: &Fields<'_>, is_tls: bool) -> (Transport, Lazy) {
    let mut lazy = LazyFaults::new("Unable to parse Netty transport spec. ");
    let default = AsyncTransport::default();
    let mut call = lazy.read(fields, "call", coerce::duration);
    let mut connect = lazy.read(fields, "connect", coerce::duration);
    if fields.node("timeouts").is_some()
        && let Some(timeouts) = lazy_mapping(fields, "timeouts", &mut lazy)
    {
        // For files written for okhttp: its members override, its defaults fill the gaps.
        let okhttp = OkHttpTransport::default();
        call = lazy.read_timeout(&timeouts, "call").or(Some(okhttp.call));
        connect = lazy
            .read_timeout(&timeouts, "connect")
            .or(Some(okhttp.connect));
        // Settings of the other transport, known but unused here.
        let _ = (timeouts.node("read"), timeouts.node("write"));
        timeouts.finish();
    }
    let pool_size = lazy.read_int(fields, "pool_size");
    let pool_ttl = lazy.read(fields, "pool_ttl", coerce::duration);
    let payload = lazy.read_int(fields, "payload_max_bytes");
    let tls = TlsFiles {
        trust_cacerts: lazy.read(fields, "trust_cacerts", coerce::text),
        client_cert: lazy.read(fields, "client_cert", coerce::text),
        client_key: lazy.read(fields, "client_key", coerce::text),
        client_key_password: lazy.read(fields, "client_key_password", coerce::text),
    };
    if call.is_some_and(|call| i64::try_from(call.as_nanos()).is_err()) {
        let text = "long overflow: this is too long";
        lazy.add_bare(fields, "call", text.into());
    }
    if let Some(size) = pool_size.filter(|size| *size <= 0) {
        let text = format!("maxConnections : {size} (expected: > 0)");
        lazy.add_bare(fields, "pool_size", text.into());
    }
    if let Some(bytes) = payload.filter(|bytes| *bytes < 0) {
        let text = format!("maxContentLength : {bytes} (expected: >= 0)");
        lazy.add_bare(fields, "payload_max_bytes", text.into());
    }
    half_a_pair(fields, &tls, is_tls, &mut lazy);
    // A negative one is a fault by now, with which the endpoint is never called.
    let size = |given: Option<i32>, default| {
        given.map_or(default, |given| usize::try_from(given).unwrap_or(default))
    };
    let transport = AsyncTransport {
        call: call.unwrap_or(default.call),
        connect: connect.unwrap_or(default.connect),
        pool_size: size(pool_size, default.pool_size),
        // Zero: connections do not age.
        pool_ttl: pool_ttl.map_or(default.pool_ttl, |ttl| (!ttl.is_zero()).then_some(ttl)),
        payload_max_bytes: size(payload, default.payload_max_bytes),
        tls,
    };
    (Transport::Async(transport), lazy.first)
}

/// A certificate without its key, or a key without its certificate; checked only with TLS.
fn half_a_pair(fields: &Fields<'_>, tls: &TlsFiles, is_tls: bool, lazy: &mut LazyFaults) {
    let given = match (&tls.client_cert, &tls.client_key) {
        (Some(_), None) => "client_cert",
        (None, Some(_)) => "client_key",
        _ => return,
    };
    let text = "You need to provide both the cert and they key if you want to use mutual TLS.";
    if is_tls {
        lazy.add_bare(fields, given, text.into());
    } else {
        let complaint = Complaint::with_remedy(
            "only one of certificate and key is given, and it is not used: the URL is not https",
            "give client_cert and client_key, or none of them",
        );
        fields.warn(given, complaint);
    }
}

/// The mapping at `key`; anything else is a fault at the first call.
fn lazy_mapping<'a>(
    fields: &Fields<'a>,
    key: &'static str,
    lazy: &mut LazyFaults,
) -> Option<Fields<'a>> {
    let node = fields.given(key)?;
    match coerce::mapping(node) {
        Ok(_) => fields.child(key),
        Err(complaint) => {
            lazy.add(fields, key, complaint);
            None
        }
    }
}

fn read_okhttp(fields: &Fields<'_>) -> (Transport, Lazy) {
    let mut lazy =
        LazyFaults::new("Unable to parse transport client properties when creating client: ");
    let mut transport = OkHttpTransport::default();
    let Some(timeouts) = lazy_mapping(fields, "timeouts", &mut lazy) else {
        return (Transport::OkHttp(transport), lazy.first);
    };
    for (key, value) in [
        ("call", &mut transport.call),
        ("connect", &mut transport.connect),
        ("read", &mut transport.read),
        ("write", &mut transport.write),
    ] {
        if let Some(given) = lazy.read_timeout(&timeouts, key) {
            *value = given;
        }
    }
    for (key, name, value) in [
        ("connect", "Connect", transport.connect),
        ("read", "Read", transport.read),
        ("write", "Write", transport.write),
    ] {
        if value > transport.call {
            let complaint = Complaint::with_remedy(
                format!("{name} timeout cannot be larger than request timeout."),
                format!("`{key}` is {value:?}, `call` is {:?}", transport.call),
            );
            lazy.add(&timeouts, key, complaint);
        }
    }
    if i32::try_from(transport.call.as_millis()).is_err() {
        lazy.add_bare(&timeouts, "call", "timeout too large.".into());
    }
    timeouts.finish();
    (Transport::OkHttp(transport), lazy.first)
}

fn timeout(node: &Node) -> Result<Duration, Complaint> {
    match coerce::duration(node)? {
        Duration::ZERO => Err("Timeout durations must be larger than 0.".into()),
        timeout => Ok(timeout),
    }
}
