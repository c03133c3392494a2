//! What clients of MQTT brokers have in common, whether they take publications in or send records out.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    ConnectReturnCode, ConnectionError, EventLoop, MqttOptions, NetworkOptions, StateError,
    TlsConfiguration, Transport,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::http::client::{HttpClientConfig, HttpError, client_tls};

/// Sets what the options do not hold: the time limit for opening a connection, and for each write.
pub(crate) fn prepare(events: &mut EventLoop, limit: Duration) {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(limit.as_secs().max(1));
    events.set_network_options(network);
}

/// A connection that is encrypted with the authorities and the identity of `config`.
///
/// # Errors
/// If they cannot be used.
pub(crate) fn encrypted(
    config: &HttpClientConfig,
    checks_certificate: bool,
) -> Result<Transport, HttpError> {
    let mut tls = client_tls(config)?;
    if !checks_certificate {
        let provider = Arc::new(ring::default_provider());
        let unchecked = Arc::new(Unchecked(provider));
        tls.dangerous().set_certificate_verifier(unchecked);
    }
    Ok(Transport::Tls(TlsConfiguration::Rustls(Arc::new(tls))))
}

/// What a failure means, in words for operators. `limit` is the one of [`prepare`].
pub(crate) fn explain(failure: &ConnectionError, options: &MqttOptions, limit: Duration) -> String {
    let (host, port) = options.broker_address();
    let limit = limit.as_secs().max(1);
    let what = match failure {
        ConnectionError::NetworkTimeout => format!("no connection within {limit} s"),
        ConnectionError::FlushTimeout => format!("it has taken no data for {limit} s"),
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

/// Takes every certificate of a server, for brokers whose settings say so.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
