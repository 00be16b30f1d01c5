//! The port to the configuration in force: what the handlers ask of the daemon.

use crate::problem::{Mistake, Problem};
use async_trait::async_trait;
use quarterdeck_config::{Difference, File, parts};
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::files::Seen;
use quarterdeck_model::store::{Document, Store, StoreError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;

#[async_trait]
pub trait Configuration: Send + Sync + 'static {
    /// All of it. Secrets are named by where they are, and not shown.
    fn effective(&self) -> Arc<Value>;

    /// Where the value at this JSON pointer comes from: a file with line, the API, a variable, a flag, or the defaults.
    fn origin(&self, pointer: &str) -> Option<String>;

    fn standing(&self) -> Standing;

    /// [`Standing::refused`] alone: the rest takes longer to find.
    fn refused(&self) -> Vec<Mistake>;

    /// Reads the files again and puts them in force. Returns what changed.
    ///
    /// # Errors
    /// Every mistake that was found. Nothing changed then.
    async fn reload(&self) -> Result<Value, Refused>;

    /// Every object that is in force, or that the API has said something about; by section and name.
    fn objects(&self) -> Vec<Object>;

    fn object(&self, section: &str, name: &str) -> Option<Object>;

    /// Carries the order out for one object, and puts the result in force as a new version.
    ///
    /// # Errors
    /// Why not. Nothing changed then.
    async fn change(&self, section: &str, name: &str, order: Order, if_match: IfMatch) -> Result<(), Refused>;

    /// Makes the objects what they were in a version. `if_match`: of the version in force, see [`IfMatch::admit_version`].
    ///
    /// # Errors
    /// Why not. Nothing changed then.
    async fn restore(&self, version: &str, if_match: IfMatch) -> Result<Restored, Refused>;

    /// The effective configuration as files.
    ///
    /// # Errors
    /// What can't be written down, in words.
    fn export(&self) -> Result<Vec<File>, String>;
}

/// What is in force, beside its values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Standing {
    /// Id of the version. Empty: it could not be kept, the log says why.
    pub version: String,
    /// `sha256:<64 hex>` of the values.
    pub digest: String,
    /// Settings that were changed since the daemon's start and take effect at the next one.
    pub pending_restart: Vec<String>,
    /// What is wrong and had to be lived with at the start: objects of the API that were left out, configuration that its
    /// plugin does not take.
    pub problems: Vec<Mistake>,
    /// Why the files as they stand are not in force: what they said before goes on to hold. Empty: they are in force.
    pub refused: Vec<Mistake>,
    /// What is in force, and can't work as things stand: plugins that are not there, grants that are missing, secrets that can't be
    /// read, events that there are not.
    pub warnings: Vec<Mistake>,
}

/// What the API has said about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// It is as it was set here, whatever the files say.
    Set,
    /// There is none, whatever the files say.
    Deleted,
}

/// A named object of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ConfigurationObject")]
pub struct Object {
    /// `instances`, `rules`, `routes`, `scans`, `runbooks`, `services`, `slos`, `dashboards`, `secrets`.
    pub section: String,
    pub name: String,
    /// As it is in force, with its defaults. `null`: it is not in force.
    pub value: Option<Value>,
    /// Where it comes from: a file with its line, the API, a variable, or built in.
    pub origin: Option<String>,
    /// What the API has said about it; `null`: nothing.
    pub api: Option<Said>,
    /// Why what the API has said is not in force.
    pub problem: Option<String>,
}

impl Object {
    /// Changes with everything that is shown of it; a number, as the revisions of documents are.
    pub fn tag(&self) -> String {
        let shown = serde_json::to_vec(self).unwrap_or_default();
        let number = Sha256::digest(&shown).iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        number.to_string()
    }
}

/// What to do with an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    Set(Map<String, Value>),
    Delete,
    /// Take the API's word about it away: what the files say holds again.
    Reset,
}

/// What an object, or all of the configuration, must be before it is changed.
#[derive(Clone, Debug, Default)]
pub struct IfMatch(pub(crate) Seen);

impl IfMatch {
    /// # Errors
    /// [`Refused::Stale`] if the object is another one by now, [`Refused::Exists`] if there must be none.
    pub fn admit(&self, object: Option<&Object>) -> Result<(), Refused> {
        match &self.0 {
            Seen::Any => Ok(()),
            Seen::Tags(tags) => {
                let found = object.map(Object::tag);
                let fits = found.is_some_and(|found| tags.iter().any(|tag| *tag == found || tag == "*"));
                if fits { Ok(()) } else { Err(Refused::Stale) }
            }
            // What was deleted, or is left out as wrong, is shown and not in force.
            Seen::Nothing if object.is_some_and(|object| object.value.is_some()) => Err(Refused::Exists),
            Seen::Nothing => Ok(()),
        }
    }

    /// The same of all of it, which is known by the id of its version.
    ///
    /// # Errors
    /// [`Refused::StaleVersion`] if another one is in force by now.
    pub fn admit_version(&self, in_force: &str) -> Result<(), Refused> {
        let fits = match &self.0 {
            Seen::Any => true,
            Seen::Tags(tags) => tags.iter().any(|tag| tag == in_force || tag == "*"),
            // One that could not be kept has no id.
            Seen::Nothing => in_force.is_empty(),
        };
        if fits { Ok(()) } else { Err(Refused::StaleVersion) }
    }
}

/// A configuration that was in force. The newest ones are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConfigurationVersion")]
pub struct Version {
    /// `cfg_...`
    #[serde(default)]
    pub id: String,
    /// `sha256:<64 hex>` of the values.
    pub digest: String,
    pub applied_at: Timestamp,
    /// Who made it so: `host`, where files had changed, or `operator`.
    pub principal: String,
    /// All of it, as it was in force.
    pub value: Value,
}

impl Version {
    pub const COLLECTION: &'static str = "configurations";
    pub const APPLIED: &'static str = "configuration.applied";

    /// Reads a version with all of its values.
    ///
    /// # Errors
    /// What keeps it from being read. `None`: there is none of that id (any more).
    pub fn find(store: &dyn Store, id: &str) -> Result<Option<Self>, StoreError> {
        if id.is_empty() || id.contains('\0') {
            return Ok(None);
        }
        let Some(document) = store.get(Self::COLLECTION, id)? else { return Ok(None) };
        let kept: Kept = document.decode()?;
        let Some(value) = kept.value(store, &document)? else { return Ok(None) };
        let Kept { digest, applied_at, principal, .. } = kept;
        Ok(Some(Version { id: document.id, digest, applied_at, principal, value }))
    }
}

/// A version as it stands in the store: its values may be larger than a document, and mostly are those of the version before. So
/// they are kept in parts, which versions share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub digest: String,
    pub applied_at: Timestamp,
    pub principal: String,
    /// Ids of the parts, in their order.
    #[serde(default)]
    pub parts: Vec<String>,
    /// Instead of parts, in versions of older daemons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

impl Kept {
    /// Collection of the parts: `{"text": "..."}`, see [`parts`]. Their ids follow from their text.
    pub const PARTS: &'static str = "configuration-parts";

    /// `None`: the version has been forgotten meanwhile, and its parts with it.
    fn value(&self, store: &dyn Store, of: &Document) -> Result<Option<Value>, StoreError> {
        if let Some(value) = &self.value {
            return Ok(Some(value.clone()));
        }
        let mut texts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let text =
                store.get(Self::PARTS, part)?.and_then(|part| part.value.get("text")?.as_str().map(str::to_owned));
            match text {
                Some(text) => texts.push(Cow::Owned(text)),
                None if store.get(Version::COLLECTION, &of.id)?.is_none() => return Ok(None),
                None => return Err(StoreError::Corrupt(format!("part `{part}` of the configuration `{}`", of.id))),
            }
        }
        let corrupt = |error| StoreError::Corrupt(format!("configuration `{}`: {error}", of.id));
        parts::join(texts).map(Some).map_err(corrupt)
    }
}

/// Collection of what the API has said about objects. Id: `<section>/<name>`.
pub const WORDS: &str = "configuration-objects";

/// How a version came back.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Restored {
    /// Id of the version that is in force now.
    pub version: String,
    /// Whether anything is different.
    pub changed: bool,
    /// What still differs from the version that was asked for, on the way from that to what is in force: settings that are no
    /// objects stand in files, variables and flags, and are changed there.
    pub not_restored: Vec<Difference>,
}

/// Why the configuration was not changed.
#[derive(Clone, Debug)]
pub enum Refused {
    /// It would be wrong: every mistake.
    Invalid(Vec<Mistake>),
    /// The object is not what the caller saw.
    Stale,
    /// Another version is in force than the one that the caller saw.
    StaleVersion,
    /// There is an object where the caller wants a new one.
    Exists,
    /// There is no such thing, in words.
    Unknown(String),
    Store(StoreError),
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(mistakes) => {
                let detail = match mistakes.as_slice() {
                    // Of the request itself, not of something in the configuration.
                    [only] if only.path.is_empty() => only.detail.clone(),
                    _ => "the configuration has mistakes; the one in force stays".to_owned(),
                };
                let mut problem = Problem::invalid(detail);
                problem.errors = mistakes;
                problem
            }
            Refused::Stale => {
                Problem::precondition_failed("the object has changed; hint: read it again and decide again")
            }
            Refused::StaleVersion => Problem::precondition_failed(
                "another version of the configuration is in force by now; hint: look at what is different, and decide again",
            ),
            Refused::Exists => Problem::precondition_failed(
                "there is an object of that name; hint: look at it, and name the one that is to be replaced (`If-Match`)",
            ),
            Refused::Unknown(detail) => Problem::not_found(detail),
            Refused::Store(error) => error.into(),
        }
    }
}
