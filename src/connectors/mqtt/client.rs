//! The client of a source or a sink: its options.

use std::time::Duration;

use rumqttc::{ConnectionError, EventLoop, MqttOptions};

use crate::module::MqttBroker;
use crate::sdk::BoxError;
use crate::transport::http::client::{HttpClientConfig, Network};
use crate::transport::mqtt;

/// The time limit for opening a connection, and for each write.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The largest packet of MQTT. A limit of our own would refuse a packet only by closing the connection, and the broker would send it again for ever.
const MAX_INCOMING: usize = 268_435_460;

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
        options.set_transport(mqtt::encrypted(&config, true)?);
    }
    Ok(options)
}

/// Sets what the options do not hold.
pub(super) fn prepare(events: &mut EventLoop) {
    mqtt::prepare(events, TIME_LIMIT);
}

/// What a failure means, in words for operators.
pub(super) fn explain(failure: &ConnectionError, options: &MqttOptions) -> String {
    mqtt::explain(failure, options, TIME_LIMIT)
}
