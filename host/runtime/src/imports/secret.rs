//! `secret`: the host uses secrets for a plugin, which never sees their bytes. `reveal`, with a grant of its own: it does.

use crate::bindings::host::errors::Error;
use crate::bindings::host::reveal;
use crate::bindings::host::secret::Host;
use crate::imports::{Caller, policy};
use crate::sandbox::{Capability, Sandbox};
use ::http::HeaderValue;
use hmac::{Hmac, Mac};
use quarterdeck_model::plugin::InstanceName;
use rand::RngCore;
use reqwest::Url;
use sha2::Sha256;

/// How a placeholder begins.
const PREFIX: &str = "qd-secret-";
/// The largest message that a MAC is made of.
const MESSAGE_BYTES: usize = 1 << 20;

/// Makes texts that stand for secrets: the same for one instance and name as long as this host runs, and unguessable for
/// anybody who was not given them.
pub(super) struct Placeholders {
    key: [u8; 32],
}

impl Placeholders {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Placeholders { key }
    }

    fn of(&self, instance: &InstanceName, name: &str) -> String {
        let mut hash = blake3::Hasher::new_keyed(&self.key);
        hash.update(instance.as_str().as_bytes());
        hash.update(&[0xff]);
        hash.update(name.as_bytes());
        format!("{PREFIX}{}", hash.finalize().to_hex())
    }
}

impl Caller {
    /// Puts secrets where their placeholders stand in a header of a request to `url`.
    ///
    /// # Errors
    /// The origin is granted only as one of all, the secret has no value, or can't stand in a header.
    pub(super) fn fill_in(&self, url: &Url, value: &HeaderValue) -> Result<Option<HeaderValue>, String> {
        let Ok(text) = value.to_str() else { return Ok(None) };
        let Some(filled) = self.filled(url, text)? else { return Ok(None) };
        let mut value = HeaderValue::from_str(&filled).map_err(|_| "a secret can't stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// The same for a URL: there are services whose addresses are their secrets. Its origin stays what it is.
    ///
    /// # Errors
    /// The origin is granted only as one of all, or the secret has no value.
    pub(super) fn fill_in_url(&self, mut url: Url) -> Result<Url, String> {
        if let Some(path) = self.filled(&url, url.path())? {
            url.set_path(&path);
        }
        let query = url.query().map(|query| self.filled(&url, query)).transpose()?.flatten();
        if let Some(query) = query {
            url.set_query(Some(&query));
        }
        Ok(url)
    }

    /// `None`, if no placeholder stands in it.
    fn filled(&self, url: &Url, text: &str) -> Result<Option<String>, String> {
        if !text.contains(PREFIX) {
            return Ok(None);
        }
        let mut filled = text.to_owned();
        for name in &self.grants.secret {
            let placeholder = self.doors.placeholders.of(&self.instance, name);
            if !filled.contains(&placeholder) {
                continue;
            }
            if !policy::secret_may_go_to(&self.grants.http, url) {
                let origin = url.origin().ascii_serialization();
                return Err(format!("secrets go to named origins only; hint: grants.http = [\"{origin}\"]"));
            }
            let secret = self.doors.secrets.secret(name).ok_or_else(|| missing(name))?;
            let secret = std::str::from_utf8(&secret).map_err(|_| format!("the secret `{name}` is not text"))?;
            filled = filled.replace(&placeholder, secret.trim_end_matches(['\r', '\n']));
            self.audit(
                Capability::Secret,
                format!("header-value {name} to {}", url.origin().ascii_serialization()),
                "ok",
            );
        }
        Ok(Some(filled))
    }
}

/// The secret itself, for a door that writes it to `target`.
///
/// # Errors
/// It is not granted, has no value, or is not text.
pub(super) fn reveal(sandbox: &mut Sandbox, name: &str, target: &str) -> Result<String, Error> {
    let asked = || format!("write {name} to {target}");
    sandbox.ask(Capability::Secret, asked, |grants| policy::secret_allowed(&grants.secret, name))?;
    let secret = sandbox.doors.secrets.secret(name).ok_or_else(|| Error::Failed(missing(name)))?;
    let secret = std::str::from_utf8(&secret).map_err(|_| Error::Failed(format!("the secret `{name}` is not text")))?;
    let secret = secret.trim_end_matches(['\r', '\n']).to_owned();
    sandbox.caller().audit(Capability::Secret, asked(), "ok");
    Ok(secret)
}

fn missing(name: &str) -> String {
    format!("there is no secret `{}`; hint: set it in the configuration", name.escape_debug())
}

impl Host for Sandbox {
    async fn hmac_sha256(&mut self, name: String, message: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(hmac_sha256(self, &name, &message))
    }

    async fn header_value(&mut self, name: String) -> wasmtime::Result<Result<String, Error>> {
        let asked = self.ask(
            Capability::Secret,
            || format!("header-value {name}"),
            |grants| policy::secret_allowed(&grants.secret, &name),
        );
        Ok(asked.map(|()| self.doors.placeholders.of(&self.instance, &name)))
    }
}

impl reveal::Host for Sandbox {
    async fn secret(&mut self, name: String) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(revealed(self, &name))
    }
}

fn revealed(sandbox: &mut Sandbox, name: &str) -> Result<Vec<u8>, Error> {
    let target = || format!("reveal {name}");
    sandbox.ask(Capability::Secret, target, |grants| policy::reveal_allowed(&grants.reveal, name))?;
    let mut bytes = sandbox.doors.secrets.secret(name).ok_or_else(|| Error::Failed(missing(name)))?;
    // As in headers: a file ends its last line.
    while bytes.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
        bytes.pop();
    }
    sandbox.caller().audit(Capability::Secret, target(), "ok");
    Ok(bytes)
}

fn hmac_sha256(sandbox: &mut Sandbox, name: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
    let target = || format!("hmac-sha256 {name}");
    sandbox.ask(Capability::Secret, target, |grants| policy::secret_allowed(&grants.secret, name))?;
    if message.len() > MESSAGE_BYTES {
        return Err(Error::Limited(format!("a MAC is made of at most {MESSAGE_BYTES} bytes")));
    }
    let secret = sandbox.doors.secrets.secret(name).ok_or_else(|| Error::Failed(missing(name)))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).map_err(|error| Error::Failed(error.to_string()))?;
    mac.update(message);
    sandbox.caller().audit(Capability::Secret, target(), "ok");
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::{Fixture, grants};

    #[tokio::test]
    async fn a_mac_is_that_of_the_standard() {
        // RFC 4231, test case 2.
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| grants.secret = vec!["jefe".to_owned()]));
        let mac = hmac_sha256(&mut sandbox, "jefe", b"what do ya want for nothing?").unwrap();
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(matches!(hmac_sha256(&mut sandbox, "other", b""), Err(Error::Denied(_))));
    }

    #[tokio::test]
    async fn a_secret_is_revealed_to_whom_that_is_granted_and_to_nobody_else() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| grants.reveal = vec!["jefe".to_owned()]));
        assert_eq!(revealed(&mut sandbox, "jefe").unwrap(), b"Jefe");
        let mut user = fixture.sandbox(grants(|grants| grants.secret = vec!["jefe".to_owned()]));
        assert!(matches!(revealed(&mut user, "jefe"), Err(Error::Denied(text)) if text.contains("grants.reveal")));
        assert_eq!(fixture.audit().await, ["audit.secret reveal jefe: denied", "audit.secret reveal jefe: ok"]);
    }

    #[tokio::test]
    async fn a_placeholder_is_filled_in_for_its_own_instance_and_named_origins() {
        let fixture = Fixture::new();
        let granted = |http: &str| {
            grants(|grants| {
                grants.secret = vec!["jefe".to_owned()];
                grants.http = vec![http.to_owned()];
            })
        };
        let url = Url::parse("https://api.example.com/x").unwrap();
        let mut sandbox = fixture.sandbox(granted("https://api.example.com"));
        let placeholder = sandbox.header_value("jefe".to_owned()).await.unwrap().unwrap();
        let header = HeaderValue::from_str(&format!("Bearer {placeholder}")).unwrap();
        let filled = sandbox.caller().fill_in(&url, &header).unwrap().unwrap();
        assert_eq!(filled.to_str().unwrap(), "Bearer Jefe");
        assert!(filled.is_sensitive());
        assert_eq!(sandbox.caller().fill_in(&url, &HeaderValue::from_static("plain")).unwrap(), None);
        assert!(fixture.sandbox(granted("*")).caller().fill_in(&url, &header).is_err());
        let mut other = fixture.sandbox(granted("https://api.example.com"));
        other.instance = "other/one".into();
        assert_eq!(other.caller().fill_in(&url, &header).unwrap().unwrap(), header);
    }

    #[tokio::test]
    async fn a_placeholder_in_a_url_is_filled_in_and_the_origin_stays() {
        let fixture = Fixture::new();
        let granted = |http: &str| {
            grants(|grants| {
                grants.secret = vec!["jefe".to_owned()];
                grants.http = vec![http.to_owned()];
            })
        };
        let mut sandbox = fixture.sandbox(granted("https://api.example.com"));
        let placeholder = sandbox.header_value("jefe".to_owned()).await.unwrap().unwrap();
        let url = Url::parse(&format!("https://api.example.com/x/{placeholder}?a=1&sig={placeholder}")).unwrap();
        let filled = sandbox.caller().fill_in_url(url.clone()).unwrap();
        assert_eq!(filled.as_str(), "https://api.example.com/x/Jefe?a=1&sig=Jefe");
        assert!(fixture.sandbox(granted("*")).caller().fill_in_url(url.clone()).is_err());
        let plain = Url::parse("https://api.example.com/x?a=1").unwrap();
        assert_eq!(sandbox.caller().fill_in_url(plain.clone()).unwrap(), plain);
    }
}
