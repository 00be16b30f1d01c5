//! `kv`: the instance's own space. Collection `kv/<instance>`, values `{"v": <base64>}`. Writes wait in the call's buffer.

use crate::bindings::host::errors::Error;
use crate::bindings::host::kv::Host;
use crate::imports::policy;
use crate::sandbox::{Capability, Sandbox};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::Page;
use quarterdeck_model::transition::{Expected, Write};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const KEY_BYTES: usize = 512;
const VALUE_BYTES: usize = 256 << 10;

/// Sizes of what is committed: key -> bytes of key and value. Read once, by the first write of a call.
#[derive(Debug, Default)]
pub(crate) struct Space {
    committed: BTreeMap<String, u64>,
}

impl Sandbox {
    /// What the call wrote, for its transition.
    pub(crate) fn take_kv_writes(&mut self) -> Vec<Write> {
        let collection = collection(&self.instance);
        std::mem::take(&mut self.buffer.kv)
            .into_iter()
            .map(|(id, value)| Write {
                collection: collection.clone(),
                id,
                expected: Expected::Any,
                value: value.map(|bytes| json!({"v": STANDARD.encode(bytes)}).into()),
            })
            .collect()
    }

    async fn space(&mut self) -> Result<&Space, Error> {
        if self.kv_space.is_none() {
            let (store, collection) = (self.doors.store.clone(), collection(&self.instance));
            let documents = self.doors.runtime.spawn_blocking(move || store.list(&collection, &Page::all()));
            let documents = documents.await.map_err(failed)?.map_err(failed)?;
            let committed = documents.into_iter().map(|document| {
                // Base64 holds three bytes in four characters.
                let encoded = document.value.get("v").and_then(Value::as_str).map_or(0, str::len);
                let bytes = (document.id.len() as u64).saturating_add(encoded as u64 / 4 * 3);
                (document.id, bytes)
            });
            self.kv_space = Some(Space { committed: committed.collect() });
        }
        Ok(self.kv_space.get_or_insert_default())
    }

    /// Bytes of the space if the buffer were committed now, with `key` at `bytes`.
    async fn bytes_with(&mut self, key: &str, bytes: u64) -> Result<u64, Error> {
        let buffered: BTreeMap<String, u64> = self
            .buffer
            .kv
            .iter()
            .map(|(key, value)| (key.clone(), value.as_ref().map_or(0, |value| (key.len() + value.len()) as u64)))
            .chain([(key.to_owned(), bytes)])
            .collect();
        let space = self.space().await?;
        let kept = space.committed.iter().filter(|(key, _)| !buffered.contains_key(*key)).map(|(_, bytes)| *bytes);
        Ok(kept.chain(buffered.values().copied()).fold(0, u64::saturating_add))
    }
}

fn collection(instance: &InstanceName) -> String {
    format!("kv/{instance}")
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(error.to_string())
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > KEY_BYTES || key.contains('\0') {
        return Err(Error::Failed(format!("a key has 1 to {KEY_BYTES} bytes, none of them NUL")));
    }
    Ok(())
}

impl Host for Sandbox {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(get(self, &key).await)
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(set(self, key, value).await)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        let asked = self.ask(Capability::Kv, String::new, |grants| policy::flag(grants.kv, Capability::Kv));
        Ok(asked.and_then(|()| check_key(&key)).map(|()| {
            self.buffer.kv.insert(key, None);
        }))
    }
}

async fn get(sandbox: &mut Sandbox, key: &str) -> Result<Option<Vec<u8>>, Error> {
    sandbox.ask(Capability::Kv, String::new, |grants| policy::flag(grants.kv, Capability::Kv))?;
    check_key(key)?;
    let value = match sandbox.buffer.kv.get(key) {
        Some(own) => own.clone(),
        None => {
            let (store, collection, id) = (sandbox.doors.store.clone(), collection(&sandbox.instance), key.to_owned());
            let document = sandbox.doors.runtime.spawn_blocking(move || store.get(&collection, &id));
            let document = document.await.map_err(failed)?.map_err(failed)?;
            document.map(|document| decode(&document.value)).transpose()?
        }
    };
    let bytes = value.as_ref().map_or(0, |value| value.len() as u64);
    sandbox.count_bytes(bytes, 0).map_err(Error::Limited)?;
    Ok(value)
}

async fn set(sandbox: &mut Sandbox, key: String, value: Vec<u8>) -> Result<(), Error> {
    sandbox.ask(Capability::Kv, String::new, |grants| policy::flag(grants.kv, Capability::Kv))?;
    check_key(&key)?;
    if value.len() > VALUE_BYTES {
        return Err(Error::Limited(format!("a value has at most {VALUE_BYTES} bytes, this one {}", value.len())));
    }
    sandbox.count_bytes(0, value.len() as u64).map_err(Error::Limited)?;
    let bytes = (key.len() + value.len()) as u64;
    let total = sandbox.bytes_with(&key, bytes).await?;
    if total > sandbox.limits.kv_bytes {
        return Err(Error::Limited(format!(
            "the key-value space would hold {total} bytes of at most {}; hint: raise `limits.kv-bytes` of `{}`",
            sandbox.limits.kv_bytes, sandbox.instance
        )));
    }
    sandbox.buffer.kv.insert(key, Some(value));
    Ok(())
}

fn decode(value: &Value) -> Result<Vec<u8>, Error> {
    let text = value.get("v").and_then(Value::as_str).ok_or_else(|| failed("the stored value has another shape"))?;
    STANDARD.decode(text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::{Fixture, grants};
    use quarterdeck_model::store::Store;
    use quarterdeck_model::transition::Transition;

    #[tokio::test]
    async fn a_call_sees_its_own_writes_and_what_is_committed() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| grants.kv = true));
        assert_eq!(sandbox.get("a".to_owned()).await.unwrap().unwrap(), None);
        sandbox.set("a".to_owned(), b"1".to_vec()).await.unwrap().unwrap();
        assert_eq!(sandbox.get("a".to_owned()).await.unwrap().unwrap(), Some(b"1".to_vec()));
        let writes = sandbox.take_kv_writes();
        fixture.store.commit(Transition { writes, ..Transition::default() }).await.unwrap();
        let mut next = fixture.sandbox(grants(|grants| grants.kv = true));
        assert_eq!(next.get("a".to_owned()).await.unwrap().unwrap(), Some(b"1".to_vec()));
        next.delete("a".to_owned()).await.unwrap().unwrap();
        assert_eq!(next.get("a".to_owned()).await.unwrap().unwrap(), None);
    }

    #[tokio::test]
    async fn the_quota_counts_what_is_committed_and_what_is_buffered() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| grants.kv = true));
        sandbox.limits = std::sync::Arc::new(quarterdeck_model::plugin::Limits { kv_bytes: 100, ..Default::default() });
        sandbox.set("a".to_owned(), vec![0; 60]).await.unwrap().unwrap();
        assert!(matches!(sandbox.set("b".to_owned(), vec![0; 60]).await.unwrap(), Err(Error::Limited(_))));
        sandbox.set("a".to_owned(), vec![0; 30]).await.unwrap().unwrap();
        sandbox.set("b".to_owned(), vec![0; 60]).await.unwrap().unwrap();
        let writes = sandbox.take_kv_writes();
        fixture.store.commit(Transition { writes, ..Transition::default() }).await.unwrap();
        let mut next = fixture.sandbox(grants(|grants| grants.kv = true));
        next.limits = sandbox.limits.clone();
        assert!(matches!(next.set("c".to_owned(), vec![0; 30]).await.unwrap(), Err(Error::Limited(_))));
        next.delete("b".to_owned()).await.unwrap().unwrap();
        next.set("c".to_owned(), vec![0; 30]).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn without_the_grant_there_is_no_space() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|_| ()));
        assert!(matches!(sandbox.get("a".to_owned()).await.unwrap(), Err(Error::Denied(_))));
        let mut pure = fixture.sandbox(grants(|grants| grants.kv = true));
        pure.pure = true;
        assert!(matches!(pure.set("a".to_owned(), Vec::new()).await.unwrap(), Err(Error::Denied(_))));
    }
}
