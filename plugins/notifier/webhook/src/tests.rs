use super::*;
use quarterdeck_sdk::http::Response;
use quarterdeck_sdk::testing::FakeHost;
use quarterdeck_sdk::{Labels, Severity, serde_json};
use std::cell::RefCell;
use std::rc::Rc;

fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

fn message() -> Message {
    Message {
        event_type: "alert.firing".into(),
        subject: "alerts/1".into(),
        title: "CPU".into(),
        body: "is 97".into(),
        severity: Severity::Critical,
        labels: Labels::new().with("instance", "a"),
        at_ms: 12,
        url: "http://h/alerts/1".into(),
        data: r#"{"value":97}"#.into(),
    }
}

fn answering(status: u16, headers: &[(&str, &str)]) -> (FakeHost, Rc<RefCell<Vec<Request>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let inner = Rc::clone(&seen);
    let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let host = FakeHost {
        http: Some(Box::new(move |request| {
            inner.borrow_mut().push(request.clone());
            Ok(Response { status, headers: headers.clone(), body: b"nope".to_vec(), truncated: false })
        })),
        hmac: Some(Box::new(|name, message| Ok([name.as_bytes(), message].concat()))),
        ..FakeHost::default()
    };
    (host, seen)
}

fn notify(json: &str, host: FakeHost) -> Result<Outcome, Failure> {
    host.run(|| Webhook::notify(&config(json), &message(), "eff_1")).0
}

#[test]
fn a_delivery_carries_key_event_version_and_a_signature_over_time_and_body() {
    let (host, seen) = answering(204, &[]);
    let json =
        r#"{"url":"http://r/hook","secret":"hook","headers":{"x-team":"ops"},"secret-headers":{"authorization":"t"}}"#;
    let outcome = notify(json, host).unwrap();
    assert_eq!(outcome, Outcome::done().with("status", 204).with("plugin_version", Webhook::VERSION));
    let request = seen.borrow()[0].clone();
    let header = |name: &str| request.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    assert_eq!(request.method, "POST");
    assert_eq!(header("idempotency-key").as_deref(), Some("eff_1"));
    assert_eq!(header("quarterdeck-event").as_deref(), Some("alert.firing"));
    assert_eq!(header("quarterdeck-plugin-version").as_deref(), Some(Webhook::VERSION));
    assert_eq!(header("x-team").as_deref(), Some("ops"));
    assert_eq!(header("authorization").as_deref(), Some("secret:t"));
    // The fake host's MAC is the secret's name and the message.
    let signature = header("quarterdeck-signature").unwrap();
    let (time, mac) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).unwrap();
    let signed = format!("hook{time}.{}", String::from_utf8(request.body.clone()).unwrap());
    assert_eq!(mac, signed.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["data"]["value"], 97);
    assert_eq!(body["labels"]["instance"], "a");
    assert_eq!(body["key"], "eff_1");
}

#[test]
fn without_a_secret_nothing_is_signed() {
    let (host, seen) = answering(200, &[]);
    notify(r#"{"url":"http://r"}"#, host).unwrap();
    assert!(!seen.borrow()[0].headers.iter().any(|(name, _)| name == "quarterdeck-signature"));
}

#[test]
fn what_may_work_later_is_tried_again_after_the_time_that_the_recipient_gives() {
    for status in [408, 429, 500, 503] {
        let (host, _) = answering(status, &[("Retry-After", "7")]);
        let failure = notify(r#"{"url":"http://r"}"#, host).unwrap_err();
        let message = format!("the recipient answered {status}: nope");
        assert_eq!(failure, Failure::Retry { message, after_ms: Some(7000) });
    }
}

#[test]
fn what_stays_wrong_is_rejected_with_the_answer() {
    let (host, _) = answering(404, &[]);
    assert_eq!(notify(r#"{"url":"http://r"}"#, host), Err(Failure::rejected("the recipient answered 404: nope")));
    let (host, _) = answering(301, &[("location", "https://r/")]);
    assert!(notify(r#"{"url":"http://r"}"#, host).unwrap_err().message().contains("post to `https://r/`"));
}

#[test]
fn a_connection_that_fails_is_tried_again_and_a_denied_one_is_not() {
    let failing =
        |error: http::Error| FakeHost { http: Some(Box::new(move |_| Err(error.clone()))), ..FakeHost::default() };
    let url = r#"{"url":"http://r"}"#;
    assert_eq!(notify(url, failing(http::Error::Connect("refused".into()))), Err(Failure::retry("refused")));
    assert_eq!(notify(url, failing(http::Error::Denied("no".into()))), Err(Failure::rejected("no")));
}
