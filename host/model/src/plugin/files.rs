//! The files of the plugins folder, and the versions that were in use: what an operator puts there, takes away, and goes back to.

use super::publisher::Publisher;
use super::{Awaiting, Capability, Digest, InstanceName, PluginRef};
use crate::store::StoreError;
use crate::time::Timestamp;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Larger components are refused unread.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// A file of the plugins folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginFile {
    /// `http-probe.wasm`
    pub file: String,
    /// Of its present content. Empty: it was not read yet.
    pub digest: Digest,
    pub bytes: u64,
    /// The plugin that it holds. `null`: nothing usable, or not yet.
    pub plugin: Option<PluginRef>,
    /// Why its content can't be used, or is not: another file of its plugin goes before it.
    pub reason: Option<String>,
    /// Where it was installed from: a URL, an OCI reference, a file's name. `null`: it was dropped in.
    pub origin: Option<String>,
    /// Who signed it; `null`: nobody.
    pub publisher: Option<Publisher>,
    /// Whether it is what serves under the plugin's name: of several files of one name the newest does.
    pub serves: bool,
    /// Instances of the plugin.
    pub instances: Vec<InstanceName>,
    /// What would serve under the plugin's name without this file. `null`: nothing, its instances would have no plugin.
    pub without: Option<PluginRef>,
}

/// A version of a plugin that was in use on this host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginVersion {
    #[serde(flatten)]
    pub plugin: PluginRef,
    /// `bundled`, or the file that held it last.
    pub source: String,
    /// Where it was installed from; `null`: it was dropped in, or came with the host.
    pub origin: Option<String>,
    /// When it came into use last. `null`: it has not been in use.
    pub used_at: Option<Timestamp>,
    /// Whether it is in use.
    pub serves: bool,
    /// Whether it can be gone back to: its content is still kept.
    pub kept: bool,
}

/// What of a plugin's files, or of what serves under its name, a caller saw. It is asked for again before anything is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// Whatever the file has, or none.
    #[default]
    Any,
    /// Tags of contents ([`Digest::tag`]), or their digests, one of which the file must have; `*`: any.
    Tags(Vec<String>),
    /// There must be no file.
    Nothing,
}

impl Seen {
    /// Whether a file with that content (`None`: there is no file) is one that the caller saw.
    ///
    /// # Errors
    /// [`FileError::Changed`] or [`FileError::Exists`] if not.
    pub fn check(&self, content: Option<&Digest>) -> Result<(), FileError> {
        match (self, content) {
            (Seen::Any, _) | (Seen::Nothing, None) => Ok(()),
            (Seen::Nothing, Some(_)) => Err(FileError::Exists),
            (Seen::Tags(tags), Some(content)) if tags.iter().any(|tag| content.is_named(tag)) => Ok(()),
            (Seen::Tags(_), _) => Err(FileError::Changed),
        }
    }

    /// The same of what serves under a plugin's name.
    ///
    /// # Errors
    /// [`FileError::Changed`] if not.
    pub fn check_serving(&self, serving: Option<&PluginRef>) -> Result<(), FileError> {
        self.check(serving.map(|serving| &serving.digest)).map_err(|_| FileError::Changed)
    }
}

/// A component that is to be put into the plugins folder.
#[derive(Clone, Debug)]
pub struct Install {
    /// `http-probe.wasm`
    pub file: String,
    pub bytes: Vec<u8>,
    /// The content that the caller means; anything else is refused.
    pub digest: Option<Digest>,
    /// Where it comes from, for people and for the lock file.
    pub origin: Option<String>,
    /// Of the file.
    pub seen: Seen,
    /// Of what serves under the plugin's name.
    pub serving: Seen,
    /// Also where the file holds another plugin, which has no file then.
    pub replace: bool,
    /// Who asked, for the event.
    pub principal: String,
}

/// What a component would replace if it were put into the plugins folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Prospect {
    /// What it is.
    pub plugin: PluginRef,
    /// What serves under its name. `None`: nothing.
    pub serving: Option<PluginRef>,
    /// The present content of the file. `None`: there is no file.
    pub content: Option<Digest>,
    /// What that is. `None`: nothing usable.
    pub held: Option<PluginRef>,
}

/// What became of a component that was put into the plugins folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Installed {
    #[serde(flatten)]
    pub file: PluginFile,
    /// What the file held before, where that was something else.
    pub replaced: Option<PluginRef>,
    /// What the plugin asks for, in words.
    pub asks_for: Vec<String>,
    /// Instances that wait until somebody gives this version what it asks for.
    pub awaiting: Vec<Waiting>,
}

/// An instance that waits for a grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    pub instance: InstanceName,
    /// What it goes on with meanwhile; `null`: with nothing.
    pub meanwhile: Option<PluginRef>,
    pub awaiting: Awaiting,
}

/// What became of a file that was taken out of the plugins folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    pub file: String,
    /// Of what it held.
    pub digest: Digest,
    pub plugin: Option<PluginRef>,
    /// What serves under the plugin's name now. `null`: nothing.
    pub serving: Option<PluginRef>,
    /// Instances that have no plugin any more.
    pub bereft: Vec<InstanceName>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolledBack {
    pub from: Option<PluginRef>,
    pub to: PluginRef,
    /// `bundled`, or the file that holds it now.
    pub source: String,
    /// Instances that wait until somebody gives this version what it asks for.
    pub awaiting: Vec<Waiting>,
}

/// Why a file was not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense: a name that is none, a digest that is another one.
    #[error("{0}")]
    Invalid(String),
    /// It does not fit what there is.
    #[error("{0}")]
    Conflict(String),
    #[error("there is another content by now; hint: look at it again and decide again")]
    Changed,
    #[error("there is a file of that name; hint: look at it, and name the content that is to be replaced (`If-Match`)")]
    Exists,
    /// The component can't be used; nothing was replaced.
    #[error("{0}")]
    Refused(String),
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
    /// There is no room for it on the disk.
    #[error("{0}")]
    Full(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The plugins folder, as API and command line change it. What is dropped in by hand goes the same way from there.
#[async_trait]
pub trait PluginFiles: Send + Sync + 'static {
    /// By name.
    fn files(&self) -> Vec<PluginFile>;

    /// Verifies the component as any file is, and says what it would replace as that file. Nothing is changed.
    ///
    /// # Errors
    /// Why it can't be used.
    async fn look_at(&self, file: &str, bytes: Vec<u8>) -> Result<Prospect, FileError>;

    /// Verifies the component as any file is, and then puts it in its place. Returns when that is durable and in use.
    ///
    /// # Errors
    /// Why nothing was changed.
    async fn install(&self, install: Install) -> Result<Installed, FileError>;

    /// Takes the file away, as `principal` asks. Returns when that is durable, and another version in use, or none.
    ///
    /// # Errors
    /// Why nothing was changed.
    async fn remove(&self, file: &str, seen: &Seen, principal: &str) -> Result<Removed, FileError>;

    /// Versions of a plugin that were in use here, the one that came into use last first.
    ///
    /// # Errors
    /// They can't be read.
    fn versions(&self, plugin: &str) -> Result<Vec<PluginVersion>, FileError>;

    /// Makes an earlier version the active file again. `to`: a digest, or a version's number; unless given, the one that was in use before.
    /// `seen`: of what serves under the name, in place of which it comes. `principal`: who asked.
    ///
    /// # Errors
    /// Why nothing was changed.
    async fn roll_back(
        &self,
        plugin: &str,
        to: Option<&str>,
        seen: &Seen,
        principal: &str,
    ) -> Result<RolledBack, FileError>;
}

impl Capability {
    /// What it means to give it, as an operator reads it.
    pub fn words(&self) -> String {
        let means = match self.name.as_str() {
            "http" => "send HTTP requests to the origins that you name",
            "kv" => "keep keys and values in a space of its own",
            "metrics" => "read every series of this host",
            "events" => "publish events under the prefixes that you name",
            "system" => "read facts about this machine: load, memory, disks, processes",
            "exec" => "run the programs that you name",
            "tcp" => "open connections to the addresses that you name",
            "process" => "start and stop long-running processes of the programs that you name",
            "secret" => "have the secrets that you name used for it by the host",
            "reveal" => "see the secrets that you name, as they are",
            "files" => "read the files that you name",
            "append" => "add lines to the files that you name",
            _ => "something that this host does not know",
        };
        let need = if self.optional { "may" } else { "must" };
        format!("{}: {need} be able to {means} ({})", self.name, self.reason)
    }
}

impl Digest {
    /// Whether a caller's word for a content means this one: its tag, the digest itself, or `*` for any.
    fn is_named(&self, word: &str) -> bool {
        word == "*" || word == self.0 || word == self.tag()
    }

    /// A number that stands for the content, as revisions stand for documents: what ETags are made of.
    pub fn tag(&self) -> String {
        let hex = self.0.strip_prefix("sha256:").unwrap_or(&self.0);
        u64::from_str_radix(hex.get(..16).unwrap_or_default(), 16).unwrap_or_default().to_string()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_said_in_words() {
        let capability =
            |name: &str, optional| Capability { name: name.to_owned(), reason: "to tell".to_owned(), optional };
        let words = [capability("exec", false), capability("kv", true)].map(|asked| asked.words());
        assert_eq!(words[0], "exec: must be able to run the programs that you name (to tell)");
        assert!(words[1].starts_with("kv: may be able to keep"), "{words:?}");
    }

    #[test]
    fn a_content_is_what_was_seen_if_it_has_one_of_the_tags() {
        let digest = |first: char| Digest(format!("sha256:{first}{}", "0".repeat(63)));
        let seen = |tags: &[&str]| Seen::Tags(tags.iter().map(|tag| (*tag).to_owned()).collect());
        let admits = |seen: Seen, content| seen.check(content).is_ok();
        let (one, two) = (digest('1'), digest('2'));
        assert_eq!(one.tag().parse::<u64>().unwrap(), 1 << 60);
        assert!(admits(Seen::Any, None) && admits(Seen::Any, Some(&one)));
        assert!(admits(seen(&[&one.tag()]), Some(&one)) && !admits(seen(&[&one.tag()]), Some(&two)));
        assert!(admits(seen(&[&two.0]), Some(&two)) && !admits(seen(&[&two.0[..20]]), Some(&two)));
        assert!(admits(seen(&["*"]), Some(&two)) && !admits(seen(&["*"]), None), "any content, but there must be one");
        assert!(admits(Seen::Nothing, None));
        assert!(matches!(Seen::Nothing.check(Some(&one)), Err(FileError::Exists)));
        let serving = PluginRef { name: "a".to_owned(), version: "1.0.0".to_owned(), digest: one };
        assert!(Seen::Nothing.check_serving(None).is_ok());
        assert!(matches!(Seen::Nothing.check_serving(Some(&serving)), Err(FileError::Changed)));
    }
}
