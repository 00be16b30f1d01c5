//! Tell this recipient.

use super::{convert, export};
use crate::bindings::notifier::exports::quarterdeck::notifier::notifier as wit;
use crate::runtime::{Request, Runtime};
use async_trait::async_trait;
use quarterdeck_model::kind::notifier::{Message, Notifier};
use quarterdeck_model::plugin::{ActResult, CallError, InstanceName, Kind, Outcome};

#[async_trait]
impl Notifier for Runtime {
    async fn notify(&self, instance: &InstanceName, message: &Message, key: &str) -> ActResult<Outcome> {
        let message = wit::Message::from(message);
        let key = key.to_owned();
        self.act(Request::new(Kind::Notifier, instance), move |guest, version, config| {
            Box::pin(async move {
                let notifier = match export(&version, |version| &version.exports.notifier, Kind::Notifier) {
                    Ok(pre) => {
                        let instance = guest.instance(pre.instance_pre()).await?;
                        crate::bindings::notifier::Notifier::new(&mut guest.store, &instance)?
                    }
                    Err(error) => return Ok(Err(error)),
                };
                let notifier = notifier.quarterdeck_notifier_notifier();
                let result = notifier.call_notify(&mut guest.store, &config, &message, &key).await?;
                Ok(result.map_err(CallError::from).and_then(convert::outcome))
            })
        })
        .await
    }

    async fn poll(&self, instance: &InstanceName, token: &str) -> ActResult<Outcome> {
        let token = token.to_owned();
        self.act(Request::new(Kind::Notifier, instance), move |guest, version, config| {
            Box::pin(async move {
                let notifier = match export(&version, |version| &version.exports.notifier, Kind::Notifier) {
                    Ok(pre) => {
                        let instance = guest.instance(pre.instance_pre()).await?;
                        crate::bindings::notifier::Notifier::new(&mut guest.store, &instance)?
                    }
                    Err(error) => return Ok(Err(error)),
                };
                let notifier = notifier.quarterdeck_notifier_notifier();
                let result = notifier.call_poll(&mut guest.store, &config, &token).await?;
                Ok(result.map_err(CallError::from).and_then(convert::outcome))
            })
        })
        .await
    }
}

impl From<&Message> for wit::Message {
    fn from(message: &Message) -> Self {
        wit::Message {
            event_type: message.event_type.clone(),
            subject: message.subject.clone(),
            title: message.title.clone(),
            body: message.body.clone(),
            severity: message.severity.into(),
            labels: convert::labels_in(&message.labels),
            at_ms: message.at.as_millis(),
            url: message.url.clone(),
            data: convert::json(&message.data),
        }
    }
}
