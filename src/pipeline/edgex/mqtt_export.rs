//! `MQTTExport`, and the function of version 1 that sent to a broker with secrets.

use super::super::stages::{MqttAuth, MqttExport, MqttPreConnect, MqttWill, StageKind};
use super::http_export::{above_zero, on_failure, order_key, set_limits, set_retry};
use super::parameters::Parameters;
use crate::document::Complaint;

/// `MQTTSend` of version 1, whose broker was an `Addressable` of core metadata.
pub(super) fn of_version_1(parameters: Parameters<'_>) -> Option<StageKind> {
    parameters.refuse(
        "version 1 sent to an Addressable of core metadata, which no longer exists; use `MQTTExport`, with `BrokerAddress`, `Topic` and `ClientId`",
    )
}

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let broker = parameters.filled("BrokerAddress").unwrap_or_default();
    let topic = parameters.filled("Topic").unwrap_or_default();
    let mut export = MqttExport::new(broker, topic);
    export.takes_any_url = true;
    if let (false, Some(fault)) = (export.url.is_empty(), export.url_fault()) {
        let remedy = "correct it: until then every record fails";
        let text = format!("is not the address of a broker: {fault}");
        parameters.warn_at("BrokerAddress", Complaint::with_remedy(text, remedy));
    }
    if let Some(fault) = export.port_fault() {
        parameters.fault("BrokerAddress", fault);
    }
    set_sign_in(&parameters, &mut export);
    export.qos = qos(&parameters, "Qos");
    export.retain = parameters.boolean("Retain");
    export.skip_verify = parameters.boolean("SkipVerify");
    export.auto_reconnect = parameters.boolean("AutoReconnect");
    let timeout = timeout_name(&parameters);
    for (name, target) in [
        ("KeepAlive", &mut export.keep_alive),
        ("ConnectTimeout", &mut export.connect_timeout),
        ("MaxReconnectInterval", &mut export.max_reconnect_interval),
        (timeout, &mut export.timeout),
    ] {
        let given = parameters.text(name).filter(|text| !text.trim().is_empty());
        if let Some(span) = given.and_then(|text| parameters.check(name, above_zero(&text))) {
            *target = span;
        }
    }
    export.will = will(&parameters);
    export.pre_connect = pre_connect(&parameters);
    export.on_failure = on_failure(&parameters);
    set_retry(&parameters, &mut export.retry, &mut export.circuit);
    set_limits(
        &parameters,
        &mut export.max_payload_bytes,
        &mut export.max_in_flight,
    );
    export.order_key = order_key(&parameters);
    let stage = export.check(|field, text| {
        // What is missing has been reported.
        let name = match field {
            "timeout" => timeout,
            field => parameter_of(field),
        };
        if !matches!(name, "Topic") || !parameters.text(name).unwrap_or_default().is_empty() {
            parameters.fault(name, text);
        }
    });
    parameters.finish(stage)
}

/// The parameter that a setting of the export comes from.
fn parameter_of(field: &str) -> &'static str {
    match field {
        "topic" => "Topic",
        "clientId" => "ClientId",
        "auth" => "AuthMode",
        "secret" => "SecretName",
        "qos" => "Qos",
        "will.topic" => "WillTopic",
        "will.qos" => "WillQos",
        "keepAlive" => "KeepAlive",
        "connectTimeout" => "ConnectTimeout",
        "maxReconnectInterval" => "MaxReconnectInterval",
        "preConnect.interval" => "PreConnectRetryInterval",
        "retry" => "Retry",
        "orderKey" => "OrderKey",
        _ => "BrokerAddress",
    }
}

/// EdgeX's name of the timeout of a publication, or our own, which is older.
fn timeout_name(parameters: &Parameters<'_>) -> &'static str {
    match (parameters.has("PublishTimeout"), parameters.has("Timeout")) {
        (true, false) => "PublishTimeout",
        (true, true) => {
            parameters.fault(
                "Timeout",
                "is the same as `PublishTimeout`: give one of them",
            );
            "Timeout"
        }
        _ => "Timeout",
    }
}

fn set_sign_in(parameters: &Parameters<'_>, export: &mut MqttExport) {
    if let Some(client_id) = parameters.required("ClientId") {
        client_id.trim().clone_into(&mut export.client_id);
    }
    // Until version 2 the name of a secret was called a path.
    let name = match parameters.has("SecretPath") && !parameters.has("SecretName") {
        true => "SecretPath",
        false => "SecretName",
    };
    let secret = parameters.required(name).unwrap_or_default();
    secret.trim().clone_into(&mut export.secret);
    let Some(mode) = parameters.required("AuthMode") else {
        return;
    };
    if mode.trim().is_empty() {
        parameters.warn_at(
            "AuthMode",
            Complaint::with_remedy("is empty, which means `none`", "write `none`"),
        );
    } else if let Some(auth) = parameters.check("AuthMode", MqttAuth::named(&mode)) {
        export.auth = auth;
        let scheme = export.url.split("://").next().unwrap_or_default();
        let is_plain = matches!(scheme, "tcp" | "mqtt");
        if is_plain && matches!(auth, MqttAuth::ClientCert | MqttAuth::CaCert) {
            let text =
                format!("has no effect at a broker without TLS (`{scheme}://`), as in EdgeX");
            let remedy = "write `tcps://` in `BrokerAddress`";
            parameters.warn_at("AuthMode", Complaint::with_remedy(text, remedy));
        }
    }
}

fn qos(parameters: &Parameters<'_>, name: &'static str) -> u8 {
    let given = parameters.parsed(name, |text| match text.trim() {
        "" | "0" => Ok(0),
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err(format!("`{text}` is not a QoS: 0, 1 or 2")),
    });
    given.unwrap_or_default()
}

/// The will, if it is enabled; text that is not a QoS or a boolean is a fault in any case.
fn will(parameters: &Parameters<'_>) -> Option<MqttWill> {
    let is_enabled = parameters.boolean_or_empty("WillEnabled");
    let mut will = MqttWill::new("", "");
    will.qos = qos(parameters, "WillQos");
    will.retain = parameters.boolean_or_empty("WillRetained");
    if !is_enabled {
        for name in ["WillTopic", "WillPayload"] {
            parameters.text(name);
        }
        return None;
    }
    let topic = parameters.filled("WillTopic");
    // Sent as it is, with its spaces.
    let payload = parameters.filled("WillPayload");
    let payload = payload.and_then(|_| parameters.text("WillPayload"));
    (will.topic, will.payload) = (topic?, payload?);
    Some(will)
}

fn pre_connect(parameters: &Parameters<'_>) -> Option<MqttPreConnect> {
    let mut pre_connect = MqttPreConnect::default();
    let is_on = parameters.boolean_or_empty("PreConnect");
    let filled = |name| parameters.text(name).filter(|text| !text.trim().is_empty());
    if let Some(text) = filled("PreConnectRetryCount") {
        let count = text.trim().parse::<u32>();
        let count = count.map_err(|_| format!("`{text}` is not a whole number"));
        pre_connect.retries = parameters
            .check("PreConnectRetryCount", count)
            .unwrap_or(pre_connect.retries);
    }
    if let Some(text) = filled("PreConnectRetryInterval") {
        let interval = parameters.check("PreConnectRetryInterval", above_zero(&text));
        pre_connect.interval = interval.unwrap_or(pre_connect.interval);
    }
    is_on.then_some(pre_connect)
}

#[cfg(test)]
#[cfg(feature = "mqtt")]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::stages::OnFailure;
    use super::super::tests::{faults, kind, warnings};
    use super::*;
    use crate::document::{At, Findings, Node};

    fn with(more: &[(&str, &str)]) -> Value {
        let mut parameters = json!({
            "BrokerAddress": "tcps://broker", "Topic": "edgex/{devicename}", "SecretName": "mqtt",
            "AuthMode": "none", "ClientId": "gateway",
        });
        for (key, text) in more {
            parameters[*key] = json!(text);
        }
        json!({"MQTTExport": parameters})
    }

    const WILL: [(&str, &str); 5] = [
        ("WillEnabled", "true"),
        ("WillTopic", "gone"),
        ("WillPayload", "bye"),
        ("WillQos", "2"),
        ("WillRetained", "true"),
    ];

    #[test]
    fn pl_18_an_mqtt_export_builds_with_all_parameters_without_a_will_and_with_one_that_is_off() {
        let all = [
            ("Qos", "1"),
            ("Retain", "true"),
            ("AutoReconnect", "true"),
            ("SkipVerify", "true"),
            ("PersistOnError", "true"),
            ("KeepAlive", "10s"),
            ("ConnectTimeout", ""),
            ("MaxReconnectInterval", "1m"),
            ("PreConnect", "true"),
            ("PreConnectRetryCount", "3"),
            ("PreConnectRetryInterval", "1s"),
            ("PublishTimeout", "5s"),
        ];
        let mut off = WILL;
        off[0] = ("WillEnabled", "false");
        let empty = WILL.map(|(name, _)| (name, ""));
        let blank = [("PreConnect", ""), ("PublishTimeout", "")];
        for more in [
            vec![],
            [&all[..], &WILL].concat(),
            off.to_vec(),
            [&empty[..], &blank].concat(),
            vec![("Timeout", "5s")],
        ] {
            assert_eq!(warnings(&with(&more)), [] as [&str; 0]);
            assert!(matches!(kind(&with(&more)), StageKind::Export(_)));
        }
        for mode in ["usernamepassword", "clientcert", "cacert", "None"] {
            assert!(matches!(
                kind(&with(&[("AuthMode", mode)])),
                StageKind::Export(_)
            ));
        }
    }

    #[test]
    fn pl_18_missing_and_wrong_parameters_of_an_mqtt_export_are_faults() {
        let with_will = |key, text| {
            let mut will = WILL.to_vec();
            will.retain(|(name, _)| *name != key);
            will.extend(Option::map(text, |text| (key, text)));
            (will, key)
        };
        for (more, key) in [
            (vec![("WillEnabled", "junk")], "WillEnabled"),
            (vec![("WillRetained", "junk")], "WillRetained"),
            (vec![("WillQos", "junk")], "WillQos"),
            with_will("WillTopic", None),
            with_will("WillTopic", Some("")),
            with_will("WillPayload", None),
            with_will("WillPayload", Some(" ")),
            (vec![("Qos", "3")], "Qos"),
            (vec![("AuthMode", "kerberos")], "AuthMode"),
            (vec![("KeepAlive", "junk")], "KeepAlive"),
            (vec![("ConnectTimeout", "0s")], "ConnectTimeout"),
            (vec![("MaxReconnectInterval", "x")], "MaxReconnectInterval"),
            (vec![("PreConnectRetryCount", "x")], "PreConnectRetryCount"),
            (
                vec![("PreConnectRetryInterval", "x")],
                "PreConnectRetryInterval",
            ),
            (vec![("Timeout", "0s")], "Timeout"),
            (vec![("PublishTimeout", "0s")], "PublishTimeout"),
            (vec![("Timeout", "1s"), ("PublishTimeout", "1s")], "Timeout"),
            (vec![("Retain", "")], "Retain"),
            (vec![("Topic", "a/#")], "Topic"),
            (
                vec![("AuthMode", "cacert"), ("SecretName", "")],
                "SecretName",
            ),
            (
                vec![("Isolate", "true"), ("ContinueOnSendError", "true")],
                "ContinueOnSendError",
            ),
        ] {
            let faults = faults(&with(&more));
            assert_eq!(faults.len(), 1, "{key}: {faults:?}");
            let place = format!("stages[0].MQTTExport.{key}: ");
            assert!(faults[0].starts_with(&place), "{faults:?}");
        }
        assert_eq!(faults(&json!({"MQTTExport": {}})).len(), 5);
    }

    #[test]
    fn a_will_has_its_text_as_it_is_given_and_a_qos_of_its_own() {
        let mut text = WILL;
        text[2] = ("WillPayload", " bye\n");
        let (tree, findings) = (
            Node::from_json(&with(&text)["MQTTExport"]),
            Findings::default(),
        );
        let parameters = Parameters::read(At::new(&tree, "", &findings)).unwrap();
        let will = will(&parameters).unwrap();
        assert_eq!((&*will.topic, &*will.payload), ("gone", " bye\n"));
        assert_eq!((will.qos, will.retain), (2, true));
    }

    #[test]
    fn the_qos_of_the_will_is_not_that_of_the_export_and_isolation_implies_that_data_is_kept() {
        let StageKind::Export(exporter) = kind(&with(&[("Isolate", "true")])) else {
            panic!("an export");
        };
        assert_eq!(exporter.on_failure, OnFailure::Isolate);
        assert_eq!(
            exporter.destination().as_deref(),
            Some("mqtts://broker:8883")
        );
    }

    #[test]
    fn what_stands_in_shipped_files_gives_only_warnings() {
        let placeholder = with(&[("BrokerAddress", "<put your broker here>")]);
        assert!(matches!(kind(&placeholder), StageKind::Export(_)));
        for more in [
            vec![("BrokerAddress", "<put your broker here>")],
            vec![("AuthMode", "")],
            vec![("ConnectionTimeout", "5s")],
        ] {
            assert_eq!(warnings(&with(&more)).len(), 1, "{more:?}");
        }
        assert_eq!(warnings(&with(&[])).len(), 0);
    }

    #[test]
    fn the_function_of_version_1_names_the_one_that_replaced_it() {
        let faults = faults(&json!({"MQTTSend": {"Publisher": "x"}}));
        assert!(faults[0].contains("`MQTTExport`"), "{faults:?}");
        let mut alias = with(&[("SecretPath", "mqtt")]);
        let parameters = alias["MQTTExport"].as_object_mut().unwrap();
        parameters.remove("SecretName");
        let parameters = Value::Object(parameters.clone());
        let alias = json!({"MQTTSecretSend": parameters});
        assert!(matches!(kind(&alias), StageKind::Export(_)));
    }
}
