//! `secret`: the host uses secrets for a plugin, and hands over none. `reveal`, with a grant of its own: it does.
//!
//! What comes back to an instance, over HTTP and over its connections, shows placeholders where the secrets stand that it was granted,
//! whichever request or connection took them out: a service that gives back what it was given hands over nothing. That finds a secret as
//! it is, in JSON, in a URL, in a form, and in base64. **A service that gives it back in another form - encrypted, compressed, in hex, in
//! parts, with pauses between them - defeats it**, and so does a secret of less than four bytes. A plugin that chooses its words and has
//! such a service among its grants can learn the secret: the grants `http` and `tcp` are who is trusted with it.
//!
//! - `echo`: secrets in what comes back

mod echo;

pub(super) use echo::Echo;

use crate::bindings::host::errors::Error;
use crate::bindings::host::reveal;
use crate::bindings::host::secret::Host;
use crate::imports::{Caller, policy};
use crate::sandbox::{Capability, Sandbox};
use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
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
        let Some(filled) = self.filled(url, text, str::to_owned)? else { return Ok(None) };
        let mut value = HeaderValue::from_str(&filled).map_err(|_| "a secret can't stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// The same for a URL: there are services whose addresses are their secrets. Its origin stays what it is.
    ///
    /// # Errors
    /// The origin is granted only as one of all, or the secret has no value.
    pub(super) fn fill_in_url(&self, mut url: Url) -> Result<Url, String> {
        if let Some(path) = self.filled(&url, url.path(), str::to_owned)? {
            url.set_path(&path);
        }
        let query = url.query().map(|query| self.filled(&url, query, str::to_owned)).transpose()?.flatten();
        if let Some(query) = query {
            url.set_query(Some(&query));
        }
        Ok(url)
    }

    /// The same for a body of JSON or a form, as such a text writes it: there are services that look for their keys there only.
    ///
    /// # Errors
    /// As [`Caller::fill_in_url`]; and a placeholder stands in a body whose way to write texts is not known.
    pub(super) fn fill_in_body(&self, url: &Url, headers: &HeaderMap, body: Bytes) -> Result<Bytes, String> {
        if self.grants.secret.is_empty() || !contains(&body, PREFIX.as_bytes()) {
            return Ok(body);
        }
        let Ok(text) = std::str::from_utf8(&body) else { return Ok(body) };
        let media = headers.get(::http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
        let write = match media.as_str() {
            "application/x-www-form-urlencoded" => in_form,
            json if json == "application/json" || json.ends_with("+json") => in_json,
            _ => {
                let stands = self.placeholders().any(|(_, placeholder)| text.contains(&placeholder));
                let why = "a secret stands in the body of JSON or of a form only; hint: say so by its content type";
                return if stands { Err(why.to_owned()) } else { Ok(body) };
            }
        };
        Ok(self.filled(url, text, write)?.map_or(body, Bytes::from))
    }

    /// Names of the secrets that a request takes out, by their placeholders in it.
    pub(super) fn carried(&self, url: &Url, headers: &HeaderMap, body: &[u8]) -> Vec<String> {
        let stands = |part: &str| {
            contains(url.as_str().as_bytes(), part.as_bytes())
                || headers.values().any(|value| contains(value.as_bytes(), part.as_bytes()))
                || contains(body, part.as_bytes())
        };
        if self.grants.secret.is_empty() || !stands(PREFIX) {
            return Vec::new();
        }
        let carried = self.placeholders().filter(|(_, placeholder)| stands(placeholder));
        carried.map(|(name, _)| name.to_owned()).collect()
    }

    /// Looks for the secrets of the instance in what comes back to it: those that it may use, since another call may have used them.
    pub(super) fn echo(&self) -> Option<Echo> {
        let known = self.placeholders().filter_map(|(name, placeholder)| {
            let secret = self.doors.secrets.secret(name)?;
            Some((String::from_utf8(secret).ok()?.trim_end_matches(['\r', '\n']).to_owned(), placeholder))
        });
        Echo::of(known.collect())
    }

    /// What stands for a secret.
    pub(super) fn placeholder(&self, name: &str) -> String {
        self.doors.placeholders.of(&self.instance, name)
    }

    /// Names of the secrets that are granted, and what stands for them.
    fn placeholders(&self) -> impl Iterator<Item = (&str, String)> {
        let names = self.grants.secret.iter();
        names.map(move |name| (name.as_str(), self.placeholder(name)))
    }

    /// `None`, if no placeholder stands in it. `write`: a text as one writes it there.
    fn filled(&self, url: &Url, text: &str, write: fn(&str) -> String) -> Result<Option<String>, String> {
        if !text.contains(PREFIX) {
            return Ok(None);
        }
        let mut filled = text.to_owned();
        for (name, placeholder) in self.placeholders() {
            if !filled.contains(&placeholder) {
                continue;
            }
            if !policy::secret_may_go_to(&self.grants.http, url) {
                let origin = url.origin().ascii_serialization();
                return Err(format!("secrets go to named origins only; hint: grants.http = [\"{origin}\"]"));
            }
            let secret = self.doors.secrets.secret(name).ok_or_else(|| missing(name))?;
            let secret = std::str::from_utf8(&secret).map_err(|_| format!("the secret `{name}` is not text"))?;
            filled = filled.replace(&placeholder, &write(secret.trim_end_matches(['\r', '\n'])));
        }
        Ok(Some(filled))
    }
}

/// Within the quotes of a text in JSON.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// As a name or value of a form, or of a query.
fn in_form(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The secret itself, for a door that writes it to `target`.
///
/// # Errors
/// It is not granted, has no value, or is not text.
pub(super) async fn reveal(sandbox: &mut Sandbox, name: &str, target: &str) -> Result<String, Error> {
    let asked = || format!("write {name} to {target}");
    sandbox.ask(Capability::Secret, asked, |grants| policy::secret_allowed(&grants.secret, name))?;
    let secret = sandbox.doors.secrets.secret(name).ok_or_else(|| Error::Failed(missing(name)))?;
    let secret = std::str::from_utf8(&secret).map_err(|_| Error::Failed(format!("the secret `{name}` is not text")))?;
    let secret = secret.trim_end_matches(['\r', '\n']).to_owned();
    sandbox.caller().begin(Capability::Secret, asked()).await?.end("ok");
    Ok(secret)
}

fn missing(name: &str) -> String {
    format!("there is no secret `{}`; hint: set it in the configuration", name.escape_debug())
}

impl Host for Sandbox {
    async fn hmac_sha256(&mut self, name: String, message: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(hmac_sha256(self, &name, &message).await)
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
        Ok(revealed(self, &name).await)
    }
}

async fn revealed(sandbox: &mut Sandbox, name: &str) -> Result<Vec<u8>, Error> {
    let target = || format!("reveal {name}");
    sandbox.ask(Capability::Secret, target, |grants| policy::reveal_allowed(&grants.reveal, name))?;
    let mut bytes = sandbox.doors.secrets.secret(name).ok_or_else(|| Error::Failed(missing(name)))?;
    // As in headers: a file ends its last line.
    while bytes.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
        bytes.pop();
    }
    sandbox.caller().begin(Capability::Secret, target()).await?.end("ok");
    Ok(bytes)
}

async fn hmac_sha256(sandbox: &mut Sandbox, name: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
    let target = || format!("hmac-sha256 {name}");
    sandbox.ask(Capability::Secret, target, |grants| policy::secret_allowed(&grants.secret, name))?;
    if message.len() > MESSAGE_BYTES {
        return Err(Error::Limited(format!("a MAC is made of at most {MESSAGE_BYTES} bytes")));
    }
    let secret = sandbox.doors.secrets.secret(name).ok_or_else(|| Error::Failed(missing(name)))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).map_err(|error| Error::Failed(error.to_string()))?;
    sandbox.caller().begin(Capability::Secret, target()).await?.end("ok");
    mac.update(message);
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
        let mac = hmac_sha256(&mut sandbox, "jefe", b"what do ya want for nothing?").await.unwrap();
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(matches!(hmac_sha256(&mut sandbox, "other", b"").await, Err(Error::Denied(_))));
    }

    #[tokio::test]
    async fn a_secret_is_revealed_to_whom_that_is_granted_and_to_nobody_else() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| grants.reveal = vec!["jefe".to_owned()]));
        assert_eq!(revealed(&mut sandbox, "jefe").await.unwrap(), b"Jefe");
        let mut user = fixture.sandbox(grants(|grants| grants.secret = vec!["jefe".to_owned()]));
        assert!(
            matches!(revealed(&mut user, "jefe").await, Err(Error::Denied(text)) if text.contains("grants.reveal"))
        );
        assert_eq!(fixture.audit().await, ["audit.secret reveal jefe: denied", "audit.secret reveal jefe: ok"]);
    }

    #[tokio::test]
    async fn calls_that_are_denied_thousands_of_secrets_push_out_no_record_of_what_was_done() {
        use quarterdeck_model::event::{EventFilter, Offset};
        use quarterdeck_model::store::Store;
        let fixture = Fixture::new();
        for call in 0..7 {
            let mut sandbox = fixture.sandbox(grants(|grants| grants.secret = vec!["jefe".to_owned()]));
            for number in 0..9_990 {
                let denied = sandbox.header_value(format!("x{call}-{number}")).await.unwrap();
                assert!(matches!(denied, Err(Error::Denied(_))));
            }
            hmac_sha256(&mut sandbox, "jefe", b"").await.unwrap();
        }
        fixture.doors.close().await;
        let events = fixture.store.events(Offset(0), &EventFilter::types(["audit."]), usize::MAX).unwrap().events;
        let count = |done: bool| -> u64 {
            let those = events.iter().filter(|stored| (stored.event.data["outcome"] == "ok") == done);
            those.map(|stored| stored.event.data["count"].as_u64().unwrap()).sum()
        };
        assert_eq!((count(true), count(false), fixture.doors.audit_records_dropped()), (7, 7 * 9_990, 0));
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
    async fn a_placeholder_in_a_body_is_filled_in_as_the_body_writes_texts() {
        let fixture = Fixture::new();
        let granted = |http: &str| {
            grants(|grants| {
                grants.secret = vec!["jefe".to_owned(), "odd".to_owned()];
                grants.http = vec![http.to_owned()];
            })
        };
        let url = Url::parse("https://api.example.com/x").unwrap();
        let mut sandbox = fixture.sandbox(granted("https://api.example.com"));
        let jefe = sandbox.header_value("jefe".to_owned()).await.unwrap().unwrap();
        let odd = sandbox.header_value("odd".to_owned()).await.unwrap().unwrap();
        let headers = |media: &str| HeaderMap::from_iter([(::http::header::CONTENT_TYPE, media.parse().unwrap())]);
        let fill = |caller: &Caller, media: &str, body: String| {
            let filled = caller.fill_in_body(&url, &headers(media), body.into())?;
            Ok::<_, String>(String::from_utf8(filled.to_vec()).unwrap())
        };
        let caller = sandbox.caller();
        for media in ["application/json", "application/vnd.api+json; charset=utf-8"] {
            let filled = fill(&caller, media, format!(r#"{{"key":"{jefe}","odd":"{odd}"}}"#)).unwrap();
            assert_eq!(filled, r#"{"key":"Jefe","odd":"a\"b&c d"}"#, "{media}");
        }
        let form = "application/x-www-form-urlencoded";
        assert_eq!(fill(&caller, form, format!("key={jefe}&odd={odd}")).unwrap(), "key=Jefe&odd=a%22b%26c+d");
        assert_eq!(fill(&caller, form, "key=qd-secret-0".to_owned()).unwrap(), "key=qd-secret-0");
        assert!(fill(&caller, "text/plain", jefe.clone()).unwrap_err().contains("content type"));
        assert_eq!(fill(&caller, "text/plain", "qd-secret-0".to_owned()).unwrap(), "qd-secret-0");
        let all = fixture.sandbox(granted("*")).caller();
        assert!(fill(&all, "application/json", jefe.clone()).unwrap_err().contains("named origins"));
        let mut other = fixture.sandbox(granted("https://api.example.com"));
        other.instance = "other/one".into();
        assert_eq!(fill(&other.caller(), "application/json", jefe.clone()).unwrap(), jefe);
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
