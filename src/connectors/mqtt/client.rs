//! The client: its options, and what its failures mean.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    ConnectReturnCode, ConnectionError, EventLoop, MqttOptions, NetworkOptions, StateError,
    TlsConfiguration, Transport,
};

use crate::module::MqttBroker;
use crate::sdk::BoxError;
use crate::transport::http::client::{HttpClientConfig, Network, client_tls};

/// The time limit for opening a connection, and for each write.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Larger packets are refused when they come in.
const MAX_INCOMING: usize = 64 << 20;

/// The options for `broker`.
///
/// # Errors
/// If a file of `tls` cannot be read or used; the messages name the keys.
pub(super) fn options(broker: &MqttBroker, network: &Network) -> Result<MqttOptions, BoxError> {
    let mut options = MqttOptions::new(&*broker.client_id, &*broker.host, broker.port);
    options
        .set_keep_alive(broker.keep_alive)
        .set_max_packet_size(MAX_INCOMING, usize::MAX)
        .set_pending_throttle(Duration::ZERO);
    if let Some((user, password)) = &broker.credentials {
        options.set_credentials(user, password.expose());
    }
    if broker.is_tls {
        let mut faults = Vec::new();
        let config = {
            let faults = std::cell::RefCell::new(&mut faults);
            let mut config = HttpClientConfig::default().network(network);
            broker.tls.read_into(&mut config, &|field, fault| {
                faults.borrow_mut().push(format!("`{field}`: {fault}"));
            });
            config
        };
        if !faults.is_empty() {
            return Err(faults.join("; ").into());
        }
        let tls = TlsConfiguration::Rustls(Arc::new(client_tls(&config)?));
        options.set_transport(Transport::Tls(tls));
    }
    Ok(options)
}

/// Sets what the options do not hold.
pub(super) fn prepare(events: &mut EventLoop) {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(TIME_LIMIT.as_secs());
    events.set_network_options(network);
}

/// What a failure means, in words for operators.
pub(super) fn explain(failure: &ConnectionError, options: &MqttOptions) -> String {
    let (host, port) = options.broker_address();
    let what = match failure {
        ConnectionError::NetworkTimeout => {
            format!("no connection within {} s", TIME_LIMIT.as_secs())
        }
        ConnectionError::FlushTimeout => {
            format!("it has taken no data for {} s", TIME_LIMIT.as_secs())
        }
        ConnectionError::ConnectionRefused(code) => refused(*code).to_owned(),
        ConnectionError::NotConnAck(_) => "it does not speak MQTT 3.1.1".to_owned(),
        ConnectionError::Io(failure) => failure.to_string(),
        ConnectionError::Tls(failure) => match failure.source() {
            Some(cause) => format!("TLS: {cause}"),
            None => format!("TLS: {failure}"),
        },
        ConnectionError::MqttState(StateError::ConnectionAborted) => format!(
            "it has closed the connection, as brokers do when another client uses client id {}, or when a packet is larger than they accept",
            options.client_id()
        ),
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            "it does not answer pings".to_owned()
        }
        ConnectionError::MqttState(StateError::Io(failure)) => failure.to_string(),
        ConnectionError::MqttState(StateError::Deserialization(failure)) => {
            format!("it has sent something that is not MQTT 3.1.1: {failure}")
        }
        other => other.to_string(),
    };
    format!("broker {host}:{port}: {what}")
}

const fn refused(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::BadUserNamePassword => "it refuses user name or password",
        ConnectReturnCode::NotAuthorized => "it refuses this user or this client id",
        ConnectReturnCode::BadClientId => "it refuses the client id",
        ConnectReturnCode::RefusedProtocolVersion => "it does not speak MQTT 3.1.1",
        ConnectReturnCode::ServiceUnavailable => "it is not available",
        ConnectReturnCode::Success => "it has accepted the connection",
    }
}
