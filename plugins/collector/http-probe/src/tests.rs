use super::*;
use quarterdeck_sdk::Labels;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::testing::FakeHost;

fn config(json: &str) -> Config {
    quarterdeck_sdk::serde_json::from_str(json).unwrap()
}

fn answering(status: u16, body: &str) -> FakeHost {
    let body = body.as_bytes().to_vec();
    FakeHost {
        http: Some(Box::new(move |_| Ok(Response { status, body: body.clone(), ..Response::default() }))),
        ..FakeHost::default()
    }
}

fn value(collection: &Collection, name: &str) -> Option<f64> {
    collection.value(name, &Labels::new())
}

#[test]
fn a_status_of_200_is_success_and_the_body_is_not_asked_for() {
    let (collected, _) = answering(200, "hi").run(|| HttpProbe::collect(&config(r#"{"url":"http://a/"}"#), 0));
    let collected = collected.unwrap();
    assert_eq!(value(&collected, "probe_success"), Some(1.0));
    assert_eq!(value(&collected, "probe_http_status_code"), Some(200.0));
    assert_eq!(value(&collected, "probe_body_matches"), None);
    assert_eq!(collected.health.state, State::Ok);
}

#[test]
fn another_status_fails_the_target_and_names_what_was_expected() {
    let check = |json: &str, status, message: &str| {
        let (collected, _) = answering(status, "").run(|| HttpProbe::collect(&config(json), 0));
        let collected = collected.unwrap();
        assert_eq!(value(&collected, "probe_success"), Some(0.0));
        assert_eq!(collected.health, Health::failed(message));
    };
    check(r#"{"url":"http://a"}"#, 503, "answered 503, expected 200 to 299");
    check(r#"{"url":"http://a","expect-status":204}"#, 200, "answered 200, expected 204");
    check(r#"{"url":"http://a","expect-status":[301,302]}"#, 200, "answered 200, expected 301 or 302");
}

#[test]
fn a_body_without_the_text_fails_the_target() {
    let json = r#"{"url":"http://a","body-contains":"\"ok\""}"#;
    for (body, matches) in [("{\"status\":\"ok\"}", 1.0), ("no", 0.0)] {
        let (collected, _) = answering(200, body).run(|| HttpProbe::collect(&config(json), 0));
        let collected = collected.unwrap();
        assert_eq!(value(&collected, "probe_body_matches"), Some(matches));
        assert_eq!(value(&collected, "probe_success"), Some(matches));
    }
}

#[test]
fn a_refused_connection_is_a_measurement_and_a_denied_one_is_a_failure() {
    let host =
        |error: http::Error| FakeHost { http: Some(Box::new(move |_| Err(error.clone()))), ..FakeHost::default() };
    let config = config(r#"{"url":"http://a"}"#);
    let (collected, _) = host(http::Error::Connect("connection refused".into())).run(|| HttpProbe::collect(&config, 0));
    let collected = collected.unwrap();
    assert_eq!(value(&collected, "probe_success"), Some(0.0));
    assert_eq!(value(&collected, "probe_http_status_code"), Some(0.0));
    assert!(value(&collected, "probe_duration_seconds").is_some());
    assert_eq!(value(&collected, "probe_success_duration_seconds"), None, "a refusal is quick, and no answer");
    assert_eq!(collected.health, Health::failed("connection refused"));
    let (denied, _) = host(http::Error::Denied("no".into())).run(|| HttpProbe::collect(&config, 0));
    assert_eq!(denied, Err(Failure::rejected("no")));
}

#[test]
fn a_certificate_that_ends_soon_degrades_the_target() {
    let mut host = answering(200, "");
    let ends = Certificate { not_after_s: 10 * 86_400, ..Certificate::default() };
    host.certificates.insert(("a".into(), 8443), ends);
    let (collected, _) = host.run(|| HttpProbe::collect(&config(r#"{"url":"https://a:8443/x"}"#), 86_400_000));
    let collected = collected.unwrap();
    assert_eq!(value(&collected, "probe_tls_days_left"), Some(9.0));
    assert_eq!(collected.health, Health::degraded("the certificate ends in 9.0 days"));
}

#[test]
fn a_url_that_is_none_is_named_before_the_first_call() {
    let problems = HttpProbe::validate(&config(r#"{"url":"example.com","timeout-ms":0}"#));
    assert_eq!(problems.iter().map(|p| p.pointer.as_str()).collect::<Vec<_>>(), ["/url", "/timeout-ms"]);
}

#[test]
fn a_target_that_hangs_is_a_measurement_and_is_not_asked_for_its_certificate() {
    let ends = Certificate { not_after_s: 10 * 86_400, ..Certificate::default() };
    let host = |error: http::Error| {
        let mut host = FakeHost { http: Some(Box::new(move |_| Err(error.clone()))), ..FakeHost::default() };
        host.certificates.insert(("a".into(), 443), ends.clone());
        host
    };
    let config = config(r#"{"url":"https://a/"}"#);
    let hangs = host(http::Error::Timeout("no answer in time".into()));
    let collected = hangs.run(|| HttpProbe::collect(&config, 0)).0.unwrap();
    assert_eq!(value(&collected, "probe_success"), Some(0.0));
    assert!(value(&collected, "probe_duration_seconds").is_some());
    assert_eq!(value(&collected, "probe_tls_days_left"), None);
    // One that is not trusted is what one most wants to know the end of.
    let untrusted = host(http::Error::Tls("the certificate is not trusted".into()));
    let collected = untrusted.run(|| HttpProbe::collect(&config, 0)).0.unwrap();
    assert_eq!(value(&collected, "probe_success"), Some(0.0));
    assert_eq!(value(&collected, "probe_tls_days_left"), Some(10.0));
}
