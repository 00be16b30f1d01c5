//! What an event must look like to be published.

use crate::Error;
use quarterdeck_model::event::Event;

/// Of the data, as JSON.
const DATA_BYTES: usize = 64 << 10;
const NAME_BYTES: usize = 256;

pub(crate) fn event(event: &Event) -> Result<(), Error> {
    if !is_type(&event.event_type) {
        return Err(Error::Invalid(format!(
            "`{}` is not an event type; hint: write it like `order.placed`: two or more parts of lower-case letters, digits and dashes, with dots between, {NAME_BYTES} bytes at most",
            event.event_type.chars().take(64).collect::<String>()
        )));
    }
    for (what, text) in [("subject", &event.subject), ("principal", &event.principal), ("id", &event.id.0)] {
        if text.len() > NAME_BYTES || text.contains('\0') {
            return Err(Error::Invalid(format!("the {what} is over {NAME_BYTES} bytes or holds a NUL")));
        }
    }
    if !event.data.is_object() {
        return Err(Error::Invalid("the data is not a JSON object; hint: wrap it, {\"value\": ...}".to_owned()));
    }
    let mut size = Counter(0);
    let fits = serde_json::to_writer(&mut size, &event.data).is_ok() && size.0 <= DATA_BYTES;
    if !fits {
        return Err(Error::Invalid(format!(
            "the data is over {DATA_BYTES} bytes; hint: store it elsewhere and send where it is"
        )));
    }
    Ok(())
}

fn is_type(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= NAME_BYTES && text.contains('.') && text.split('.').all(part)
}

/// Counts what is written, and stops early.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        if self.0 > DATA_BYTES {
            return Err(std::io::Error::other("over the limit"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::id::IdSource;
    use serde_json::json;

    fn made(event_type: &str, data: serde_json::Value) -> Event {
        Event::new(&IdSource::seeded(1), Timestamp::from_millis(1), event_type, "s").data(data)
    }

    #[test]
    fn a_type_has_two_or_more_lower_case_parts() {
        for good in ["a.b", "order.placed", "custom.my-app.v2"] {
            assert!(event(&made(good, json!({}))).is_ok(), "{good}");
        }
        for bad in ["", "order", "Order.placed", "order.", ".placed", "a..b", "a b.c", "\u{e4}.b"] {
            assert!(matches!(event(&made(bad, json!({}))), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn data_is_an_object_of_at_most_64_kib() {
        assert!(event(&made("a.b", json!([1]))).is_err());
        assert!(event(&made("a.b", json!({"x": "y".repeat(DATA_BYTES - 8)}))).is_ok());
        assert!(event(&made("a.b", json!({"x": "y".repeat(DATA_BYTES - 7)}))).is_err());
    }
}
