//! Tell this recipient.

use quarterdeck_sdk::http::Request;
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, serde_json};

quarterdeck_sdk::config! {
    /// What an instance is configured with.
    pub struct Config {
        /// URL that messages are posted to.
        pub url: String,
    }
}

pub struct {{type}};

impl Plugin for {{type}} {
    type Config = Config;
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Messages as a POST";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("http", "posts the messages")]
    }
}

impl Notifier for {{type}} {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let body = serde_json::json!({"text": message.title}).to_string();
        // The key is the same for every attempt, so that the recipient can drop a second one.
        let request = Request::post(&config.url).header("content-type", "application/json").header("idempotency-key", key);
        let response = request.body(body).send()?;
        match response.status {
            200..=299 => Ok(Outcome::done().with("status", response.status)),
            429 | 500..=599 => Err(Failure::retry(format!("the recipient answered {}", response.status))),
            status => Err(Failure::rejected(format!("the recipient answered {status}"))),
        }
    }
}

quarterdeck_sdk::export!({{type}}: notifier);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::http::Response;
    use quarterdeck_sdk::testing::FakeHost;
    use quarterdeck_sdk::{Labels, Severity};

    fn told(status: u16) -> Result<Outcome, Failure> {
        let message = Message {
            event_type: "incident.opened".to_owned(),
            subject: "inc_1".to_owned(),
            title: "It is down".to_owned(),
            body: String::new(),
            severity: Severity::High,
            labels: Labels::new(),
            at_ms: 0,
            url: String::new(),
            data: "{}".to_owned(),
        };
        let host = FakeHost {
            http: Some(Box::new(move |request| {
                assert!(request.headers.contains(&("idempotency-key".to_owned(), "key-1".to_owned())));
                Ok(Response { status, ..Response::default() })
            })),
            ..FakeHost::default()
        };
        let config = Config { url: "https://example.com/hook".to_owned() };
        host.run(|| {{type}}::notify(&config, &message, "key-1")).0
    }

    #[test]
    fn what_may_work_later_is_tried_again_and_what_may_not_is_not() {
        assert!(told(204).is_ok());
        assert!(matches!(told(503), Err(Failure::Retry { .. })));
        assert!(matches!(told(404), Err(Failure::Rejected(_))));
    }
}
