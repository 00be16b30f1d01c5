use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::testing::{FakeHost, Stream};
use quarterdeck_sdk::{Labels, serde_json};
use std::net::{TcpListener, TcpStream};

fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

/// Connections go out into the machine.
fn machine() -> FakeHost {
    let connect = |address: &Address| match address {
        Address::Tcp(host, port) | Address::Tls(host, port) => TcpStream::connect((host.as_str(), *port))
            .map(|stream| Box::new(stream) as Box<dyn Stream>)
            .map_err(|error| Error::Failed(error.to_string())),
        Address::Unix(path) => Err(Error::Denied(path.clone())),
    };
    FakeHost { tcp: Some(Box::new(connect)), ..FakeHost::default() }
}

/// A server that says `greeting`, then repeats what it hears until that ends in a line.
fn server(greeting: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(greeting.as_bytes());
            let mut heard = [0; 64];
            let read = stream.read(&mut heard).unwrap_or(0);
            let _ = stream.write_all(&heard[..read]);
        }
    });
    port
}

fn collect(host: FakeHost, config: &Config) -> Result<Collection, Failure> {
    host.run(|| TcpProbe::collect(config, 86_400_000)).0
}

fn value(collected: &Collection, name: &str) -> Option<f64> {
    collected.value(name, &Labels::new())
}

#[test]
fn a_port_that_takes_connections_is_success() {
    let port = server("");
    let collected = collect(machine(), &config(&format!(r#"{{"address":"127.0.0.1:{port}"}}"#))).unwrap();
    assert_eq!(value(&collected, "probe_success"), Some(1.0));
    assert!(
        value(&collected, "probe_connect_seconds").unwrap() <= value(&collected, "probe_duration_seconds").unwrap()
    );
    assert_eq!(value(&collected, "probe_expect_matches"), None);
    assert_eq!(value(&collected, "probe_success_duration_seconds"), value(&collected, "probe_duration_seconds"));
    assert_eq!(collected.health.state, State::Ok);
}

#[test]
fn what_is_expected_is_looked_for_in_all_that_is_said() {
    let port = server("220 ready\r\n");
    let ask = |more: &str| collect(machine(), &config(&format!(r#"{{"address":"127.0.0.1:{port}",{more}}}"#))).unwrap();
    let found = ask(r#""send":"PING\r\n","expect":"ready\r\nPING""#);
    assert_eq!((value(&found, "probe_success"), value(&found, "probe_expect_matches")), (Some(1.0), Some(1.0)));
    let missing = ask(r#""send":"PING\r\n","expect":"PONG""#);
    assert_eq!((value(&missing, "probe_success"), value(&missing, "probe_expect_matches")), (Some(0.0), Some(0.0)));
    let message = r"said `220 ready\r\nPING\r\n`, expected `PONG` in it";
    assert_eq!(missing.health, Health::failed(message));
    assert_eq!(value(&missing, "probe_success_duration_seconds"), None);
}

#[test]
fn a_refused_connection_is_a_measurement_and_a_denied_one_is_a_failure() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let collected = collect(machine(), &config(&format!(r#"{{"address":"127.0.0.1:{port}"}}"#))).unwrap();
    assert_eq!(value(&collected, "probe_success"), Some(0.0));
    assert_eq!(value(&collected, "probe_connect_seconds"), None);
    assert_eq!(collected.health.state, State::Failed);
    let denied = collect(machine(), &config(r#"{"address":"/run/a.sock"}"#));
    assert_eq!(denied, Err(Failure::rejected("/run/a.sock")));
}

#[test]
fn a_certificate_that_ends_soon_and_an_answer_that_is_slow_degrade_the_target() {
    let port = server("");
    let mut host = machine();
    let ends = Certificate { not_after_s: 10 * 86_400, ..Certificate::default() };
    host.certificates.insert(("127.0.0.1".into(), port), ends);
    let collected = collect(host, &config(&format!(r#"{{"address":"127.0.0.1:{port}","tls":true}}"#))).unwrap();
    assert_eq!(value(&collected, "probe_tls_days_left"), Some(9.0));
    assert_eq!(collected.health, Health::degraded("the certificate ends in 9.0 days"));
    let slow = config(&format!(r#"{{"address":"127.0.0.1:{port}","slow-ms":0}}"#));
    assert_eq!(collect(machine(), &slow).unwrap().health.state, State::Degraded);
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let places =
        |json: &str| TcpProbe::validate(&config(json)).into_iter().map(|problem| problem.pointer).collect::<Vec<_>>();
    assert_eq!(places(r#"{"address":"example.com","expect":""}"#), ["/address", "/expect"]);
    assert_eq!(places(r#"{"address":"/run/a.sock","tls":true}"#), ["/tls"]);
    assert!(places(r#"{"address":"[::1]:22"}"#).is_empty());
}
