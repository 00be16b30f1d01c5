//! Secrets, read where the configuration says that they are, each time they are asked for.

use quarterdeck_config::SecretSource;
use quarterdeck_model::secret::Secrets;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use tracing::warn;

#[derive(Default)]
pub(super) struct Sources(RwLock<BTreeMap<String, SecretSource>>);

impl Sources {
    pub(super) fn set(&self, sources: BTreeMap<String, SecretSource>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = sources;
    }
}

impl Secrets for Sources {
    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        let source = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()?;
        match source {
            SecretSource::Env(variable) => {
                let value = std::env::var_os(&variable);
                if value.is_none() {
                    warn!(secret = name, variable, "the variable of a secret is not set");
                }
                value.map(|value| value.into_encoded_bytes())
            }
            SecretSource::File(path) => match std::fs::read(&path) {
                // A line end at the end of a file is the editor's, not the secret's.
                Ok(bytes) => Some(bytes.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(bytes)),
                Err(error) => {
                    warn!(secret = name, path = %path.display(), %error, "the file of a secret can't be read");
                    None
                }
            },
        }
    }
}
