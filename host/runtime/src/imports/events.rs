//! `events`: publishing, into the call's buffer.

use crate::bindings::host::errors::Error;
use crate::bindings::host::events::Host;
use crate::imports::policy;
use crate::sandbox::{Capability, Sandbox};
use quarterdeck_model::event::Event;
use serde_json::{Map, Value};

const DATA_BYTES: usize = 64 << 10;
const SUBJECT_BYTES: usize = 256;
/// One call is one record of the log; that has a limit of its own.
const EVENTS_PER_CALL: usize = 256;

impl Host for Sandbox {
    async fn publish(
        &mut self,
        event_type: String,
        subject: String,
        data: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(publish(self, &event_type, subject, &data))
    }
}

fn publish(sandbox: &mut Sandbox, event_type: &str, subject: String, data: &str) -> Result<(), Error> {
    sandbox.ask(Capability::Events, String::new, |grants| policy::event_allowed(&grants.events, event_type))?;
    if data.len() > DATA_BYTES {
        return Err(Error::Limited(format!("an event's data have at most {DATA_BYTES} bytes, these {}", data.len())));
    }
    if subject.is_empty() || subject.len() > SUBJECT_BYTES || subject.chars().any(char::is_control) {
        return Err(Error::Failed(format!("a subject has 1 to {SUBJECT_BYTES} bytes and no control characters")));
    }
    if sandbox.buffer.events.len() >= EVENTS_PER_CALL {
        return Err(Error::Limited(format!("one call publishes at most {EVENTS_PER_CALL} events")));
    }
    sandbox.count_bytes(0, (event_type.len() + subject.len() + data.len()) as u64).map_err(Error::Limited)?;
    let data: Map<String, Value> =
        serde_json::from_str(data).map_err(|e| Error::Failed(format!("the data are not a JSON object: {e}")))?;
    let event = Event::new(&sandbox.doors.ids, sandbox.now, event_type, subject)
        .principal(format!("instance:{}", sandbox.instance))
        .plugin(Some(sandbox.plugin.clone()))
        .data(Value::Object(data));
    sandbox.buffer.events.push(event);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::{Fixture, grants};

    #[tokio::test]
    async fn an_event_carries_who_published_it() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| grants.events = vec!["custom.".to_owned()]));
        publish(&mut sandbox, "custom.seen", "thing".to_owned(), r#"{"a": 1}"#).unwrap();
        let event = &sandbox.buffer.events[0];
        assert_eq!(event.principal, format!("instance:{}", sandbox.instance));
        assert_eq!(event.plugin.as_ref(), Some(&sandbox.plugin));
        assert_eq!(sandbox.usage.bytes_out, (r#"custom.seenthing{"a": 1}"#).len() as u64, "all of it goes out");
        for bad in ["[1]", "1", "{", ""] {
            assert!(
                matches!(publish(&mut sandbox, "custom.seen", "x".to_owned(), bad), Err(Error::Failed(_))),
                "{bad}"
            );
        }
        let large = format!(r#"{{"a": "{}"}}"#, "x".repeat(DATA_BYTES));
        assert!(matches!(publish(&mut sandbox, "custom.seen", "x".to_owned(), &large), Err(Error::Limited(_))));
        assert!(matches!(publish(&mut sandbox, "other.seen", "x".to_owned(), "{}"), Err(Error::Denied(_))));
    }
}
