//! Tell this recipient.

use crate::{Failure, Labels, Outcome, Plugin, Severity};

/// Tells a recipient.
pub trait Notifier: Plugin {
    /// `key` is the same for every attempt of one delivery: hand it on, so that the recipient can drop a second one.
    /// [`Outcome::Done`] carries the receipt. [`Failure::Retry`] is delivered again later, any other failure is not.
    fn notify(config: &Self::Config, message: &Message, key: &str) -> Result<Outcome, Failure>;

    /// Asked after [`Outcome::Pending`], until it is done or fails.
    fn poll(_config: &Self::Config, _token: &str) -> Result<Outcome, Failure> {
        Err(Failure::other("this notifier leaves nothing pending"))
    }
}

/// What to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Type of the event that it is about: `alert.firing`, `incident.opened`.
    pub event_type: String,
    /// What the event is about.
    pub subject: String,
    /// One line.
    pub title: String,
    /// Text, of any length.
    pub body: String,
    /// How bad it is.
    pub severity: Severity,
    /// Of the alert or incident.
    pub labels: Labels,
    /// Milliseconds since 1970, UTC.
    pub at_ms: i64,
    /// Page of the subject on this host.
    pub url: String,
    /// The event's data, as a JSON object.
    pub data: String,
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{Message, Notifier};
    use crate::bindings::notifier::exports::quarterdeck::notifier::notifier as wit;
    use crate::mirror::{Mirror, mirror};
    use crate::plugin::{Component, config};

    mirror! {
        struct wit::Message => Message { event_type, subject, title, body, severity, labels, at_ms, url, data }
    }

    impl<P: Notifier> wit::Guest for Component<P> {
        fn notify(text: String, message: wit::Message, key: String) -> Result<wit::Outcome, wit::Failure> {
            P::notify(&config::<P>(&text)?, &message.mirror(), &key).map(Mirror::mirror).map_err(Mirror::mirror)
        }

        fn poll(text: String, token: String) -> Result<wit::Outcome, wit::Failure> {
            P::poll(&config::<P>(&text)?, &token).map(Mirror::mirror).map_err(Mirror::mirror)
        }
    }
}
