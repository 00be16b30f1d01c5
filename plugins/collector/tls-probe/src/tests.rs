use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::serde_json;
use quarterdeck_sdk::testing::{FakeHost, Stream};

const DAY_S: i64 = 86_400;

fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

fn certificate() -> Certificate {
    Certificate {
        subject: "CN=shop".into(),
        issuer: "CN=Our CA".into(),
        not_before_s: 0,
        not_after_s: 100 * DAY_S,
        names: vec!["shop.example.com".into(), "*.shop.example.com".into()],
    }
}

/// A server with that certificate, trusted or not.
fn server(certificate: Certificate, trusted: bool) -> FakeHost {
    let connect = move |_: &Address| match trusted {
        true => Ok(Box::new(std::io::Cursor::new(Vec::new())) as Box<dyn Stream>),
        false => Err(Error::Failed("invalid peer certificate: UnknownIssuer".to_owned())),
    };
    let mut host = FakeHost { tcp: Some(Box::new(connect)), ..FakeHost::default() };
    host.certificates.insert(("shop.example.com".into(), 443), certificate);
    host
}

fn collect(host: FakeHost, more: &str, day: i64) -> Collection {
    let config = config(&format!(r#"{{"host":"shop.example.com"{more}}}"#));
    host.run(|| TlsProbe::collect(&config, day * DAY_S * 1000)).0.unwrap()
}

fn value(collected: &Collection, name: &str) -> Option<f64> {
    collected.value(name, &Labels::new())
}

#[test]
fn a_good_certificate_is_success_with_its_days_left() {
    let collected = collect(server(certificate(), true), "", 10);
    assert_eq!(value(&collected, "probe_success"), Some(1.0));
    assert_eq!(value(&collected, "tls_certificate_days_left"), Some(90.0));
    assert_eq!(value(&collected, "tls_chain_trusted"), Some(1.0));
    let took = value(&collected, "probe_duration_seconds");
    assert!(took.is_some() && value(&collected, "probe_success_duration_seconds") == took);
    let name = Labels::new().with("name", "shop.example.com");
    assert_eq!(collected.value("tls_certificate_name_matches", &name), Some(1.0));
    assert_eq!(collected.health, Health::ok("90 days left, issued by CN=Our CA"));
}

#[test]
fn one_that_ends_soon_degrades_and_one_that_has_ended_or_not_begun_fails() {
    let state = |day| collect(server(certificate(), true), "", day).health;
    assert_eq!(state(90), Health::degraded("the certificate ends in 10.0 days"));
    assert_eq!(state(102), Health::failed("the certificate has ended 2.0 days ago"));
    assert_eq!(state(-3), Health::failed("the certificate is good only in 3.0 days"));
    let strict = collect(server(certificate(), true), r#","fail-days":10"#, 91);
    assert_eq!(strict.health, Health::failed("the certificate ends in 9.0 days"));
}

#[test]
fn names_issuer_and_chain_are_said_together_where_they_do_not_fit() {
    let more = r#","names":["a.shop.example.com","www.example.com"],"issuer-contains":"Public""#;
    let collected = collect(server(certificate(), false), more, 10);
    assert_eq!(value(&collected, "probe_success"), Some(0.0));
    assert!(value(&collected, "probe_duration_seconds").is_some());
    assert_eq!(value(&collected, "probe_success_duration_seconds"), None);
    assert_eq!(value(&collected, "tls_chain_trusted"), Some(0.0));
    let matches = |name: &str| collected.value("tls_certificate_name_matches", &Labels::new().with("name", name));
    assert_eq!((matches("a.shop.example.com"), matches("www.example.com")), (Some(1.0), Some(0.0)));
    assert_eq!(
        collected.health.message,
        "the certificate is not good for `www.example.com`, but for `shop.example.com`, `*.shop.example.com`; was issued by \
         `CN=Our CA`, expected `Public` in it; is not trusted: invalid peer certificate: UnknownIssuer"
    );
    let own = collect(server(certificate(), false), r#","trusted":false"#, 10);
    assert_eq!((own.health.state, value(&own, "tls_chain_trusted")), (State::Ok, Some(0.0)));
}

#[test]
fn a_server_that_does_not_answer_is_a_measurement() {
    let collected = collect(FakeHost::default(), "", 0);
    assert_eq!(value(&collected, "probe_success"), Some(0.0));
    assert_eq!(value(&collected, "tls_certificate_days_left"), None);
    assert_eq!(collected.health.state, State::Failed);
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let found = TlsProbe::validate(&config(r#"{"host":"https://a/","port":0,"warn-days":1,"fail-days":2}"#));
    assert_eq!(
        found.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(),
        ["/host", "/port", "/fail-days"]
    );
}
