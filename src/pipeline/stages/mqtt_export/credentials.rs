//! How an export signs in at its broker: the texts are looked up in a secret for each publication, so that a change of them is seen.

use std::fmt;

use super::super::super::secrets::Secrets;
use crate::delivery::engine::Failure;

/// How an export signs in at its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum MqttAuth {
    /// It does not.
    #[default]
    None,
    /// With `username` and `password` of the secret.
    UsernamePassword,
    /// With the certificate `clientcert` and its private key `clientkey` of the secret, both PEM. Needs TLS.
    ClientCert,
    /// It does not, and trusts the authorities `cacert` of the secret, PEM, instead of the public ones. Needs TLS. The other modes that use a
    /// secret do the same if it has a `cacert`.
    CaCert,
}

impl MqttAuth {
    /// The mode with this name, whatever the case of its letters.
    pub(crate) fn named(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "usernamepassword" => Ok(Self::UsernamePassword),
            "clientcert" => Ok(Self::ClientCert),
            "cacert" => Ok(Self::CaCert),
            _ => Err(format!(
                "`{text}` is not a way to sign in; known: none, usernamepassword, clientcert, cacert"
            )),
        }
    }

    /// Whether it reads a secret.
    pub(crate) const fn needs_secret(self) -> bool {
        !matches!(self, Self::None)
    }

    /// The texts of the secret `name`, or the failure with which a record waits for them.
    #[cfg_attr(
        not(feature = "mqtt"),
        allow(dead_code, reason = "without a client nobody signs in")
    )]
    pub(super) fn credentials(
        self,
        name: &str,
        secrets: &Secrets,
    ) -> Result<Credentials, Box<Failure>> {
        let mut credentials = Credentials::default();
        let filled = |key: &str| match secrets.demand(name, key)? {
            text if text.trim().is_empty() => {
                let text = format!("`{key}` of the secret `{name}` is empty");
                Err(Box::new(Failure::retry("secret", text)))
            }
            text => Ok(text),
        };
        match self {
            Self::None => return Ok(credentials),
            Self::UsernamePassword => {
                credentials.user = Some((filled("username")?, filled("password")?));
            }
            Self::ClientCert => {
                credentials.identity = Some((filled("clientcert")?, filled("clientkey")?));
            }
            Self::CaCert => credentials.authorities = filled("cacert")?,
        }
        if credentials.authorities.is_empty() {
            let found = secrets.find(name, "cacert");
            let found = found.map_err(|err| {
                let text = format!("`cacert` of the secret `{name}` cannot be read: {err}");
                Box::new(Failure::retry("secret", text))
            })?;
            credentials.authorities = found.unwrap_or_default();
        }
        Ok(credentials)
    }
}

/// What a connection is opened with. Another connection is opened when it changes.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The user and the password.
    pub(super) user: Option<(String, String)>,
    /// PEM certificates and their private key.
    pub(super) identity: Option<(String, String)>,
    /// PEM certificates, instead of the public authorities; empty if there are none.
    pub(super) authorities: String,
}

/// Which of them there are, never what they are.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user.as_ref().map(|_| "***"))
            .field("identity", &self.identity.as_ref().map(|_| "***"))
            .field("authorities", &!self.authorities.is_empty())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(texts: &[(&str, &str)]) -> Secrets {
        Secrets::default().insecure("mqtt", texts.iter().copied())
    }

    #[test]
    fn each_mode_takes_its_texts_and_an_authority_if_there_is_one() {
        let all = secrets(&[
            ("username", "u"),
            ("password", "p"),
            ("clientcert", "c"),
            ("clientkey", "k"),
            ("cacert", "a"),
        ]);
        let of = |auth: MqttAuth| auth.credentials("mqtt", &all).unwrap();
        assert_eq!(of(MqttAuth::None), Credentials::default());
        let user = of(MqttAuth::UsernamePassword);
        assert_eq!(user.user, Some(("u".to_owned(), "p".to_owned())));
        assert_eq!((user.identity, &*user.authorities), (None, "a"));
        let identity = of(MqttAuth::ClientCert).identity;
        assert_eq!(identity, Some(("c".to_owned(), "k".to_owned())));
        assert_eq!(of(MqttAuth::CaCert).authorities, "a");
    }

    #[test]
    fn a_record_waits_for_a_text_that_is_missing_or_empty() {
        let incomplete = secrets(&[("username", "u"), ("password", " ")]);
        for (auth, key) in [
            (MqttAuth::UsernamePassword, "`password`"),
            (MqttAuth::ClientCert, "`clientcert`"),
            (MqttAuth::CaCert, "`cacert`"),
        ] {
            let failure = auth.credentials("mqtt", &incomplete).unwrap_err();
            assert_eq!(failure.class, crate::delivery::engine::Class::Retry);
            assert_eq!(failure.code, "secret");
            assert!(failure.message.contains(key), "{}", failure.message);
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let all = secrets(&[("username", "name"), ("password", "hidden")]);
        let credentials = MqttAuth::UsernamePassword.credentials("mqtt", &all);
        let shown = format!("{:?}", credentials.unwrap());
        assert!(
            !shown.contains("hidden") && !shown.contains("name"),
            "{shown}"
        );
    }
}
