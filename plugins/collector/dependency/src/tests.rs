use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::http::{Request, Response};
use quarterdeck_sdk::serde_json;
use quarterdeck_sdk::testing::{FakeHost, Stream};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, RCODE, ResourceRecord};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// HTTP answers by the path; connections go out into the machine.
fn machine() -> FakeHost {
    let fetch = |request: &Request| match request.url.rsplit('/').next() {
        Some("gone") => Err(http::Error::Connect("connection refused".into())),
        Some("denied") => Err(http::Error::Denied("not granted".into())),
        Some(status) => Ok(Response { status: status.parse().unwrap(), ..Response::default() }),
        None => unreachable!(),
    };
    let connect = |address: &Address| match address {
        Address::Tcp(host, port) => TcpStream::connect((host.as_str(), *port))
            .map(|stream| Box::new(stream) as Box<dyn Stream>)
            .map_err(|error| Error::Failed(error.to_string())),
        other => Err(Error::Denied(format!("{other:?}"))),
    };
    FakeHost { http: Some(Box::new(fetch)), tcp: Some(Box::new(connect)), ..FakeHost::default() }
}

fn ask(dependencies: &str) -> Result<Collection, Failure> {
    let config = serde_json::from_str(&format!(r#"{{"dependencies":[{dependencies}]}}"#)).unwrap();
    machine().run(|| DependencyCheck::collect(&config, 77)).0
}

fn http_one(name: &str, path: &str, more: &str) -> String {
    format!(r#"{{"name":"{name}","kind":"http","target":"http://a/{path}"{more}}}"#)
}

/// Knows one name.
fn name_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut bytes).unwrap();
            let query = Packet::parse(&bytes).unwrap();
            let mut reply = Packet::new_reply(query.id());
            match query.questions[0].qname.to_string().as_str() {
                "known.example.com" => {
                    let name = Name::new("known.example.com").unwrap();
                    let data = RData::A(A { address: 1 });
                    reply.answers.push(ResourceRecord::new(name, CLASS::IN, 60, data));
                }
                "empty.example.com" => {}
                _ => *reply.rcode_mut() = RCODE::NameError,
            }
            let answer = reply.build_bytes_vec().unwrap();
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            let _ = stream.write_all(&[&length[..], &answer].concat());
        }
    });
    port
}

#[test]
fn all_that_are_there_are_one_health() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = name_server();
    let list = [
        http_one("pay", "200", ""),
        http_one("old", "404", r#","expect-status":[404,410]"#),
        format!(r#"{{"name":"db","kind":"tcp","target":"127.0.0.1:{port}"}}"#),
        format!(r#"{{"name":"names","kind":"dns","target":"known.example.com","server":"127.0.0.1:{names}"}}"#),
    ];
    let collected = ask(&list.join(",")).unwrap();
    assert_eq!(collected.health, Health::ok("4 dependencies are there"));
    for (name, kind) in [("pay", "http"), ("old", "http"), ("db", "tcp"), ("names", "dns")] {
        let labels = Labels::new().with("dependency", name).with("kind", kind);
        assert_eq!(collected.value("dependency_up", &labels), Some(1.0), "{name}");
        assert!(collected.value("dependency_duration_seconds", &labels).is_some());
    }
}

#[test]
fn one_that_is_critical_fails_the_whole_and_another_degrades_it() {
    let lesser = [http_one("pay", "200", ""), http_one("search", "gone", r#","critical":false"#)].join(",");
    assert_eq!(ask(&lesser).unwrap().health, Health::degraded("`search`: connection refused"));
    let both = format!("{lesser},{}", http_one("stock", "503", ""));
    let collected = ask(&both).unwrap();
    assert_eq!(collected.health, Health::failed("`stock`: answered 503; `search`: connection refused"));
    assert_eq!(collected.value("dependencies_down", &Labels::new()), Some(2.0));
}

#[test]
fn a_port_that_nobody_listens_at_and_a_name_without_address_are_down() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let collected = ask(&format!(r#"{{"name":"db","kind":"tcp","target":"127.0.0.1:{gone}"}}"#)).unwrap();
    assert_eq!(collected.health.state, State::Failed);
    let names = name_server();
    for (name, reason) in
        [("empty.example.com", "the name has no address"), ("unknown.example.com", "the name server says NameError")]
    {
        let list = format!(r#"{{"name":"n","kind":"dns","target":"{name}","server":"127.0.0.1:{names}"}}"#);
        assert_eq!(ask(&list).unwrap().health, Health::failed(format!("`n`: {reason}")));
    }
}

#[test]
fn what_the_host_does_not_allow_is_a_failure_and_not_a_dependency_that_is_down() {
    assert_eq!(ask(&http_one("a", "denied", "")), Err(Failure::rejected("not granted")));
}

#[test]
fn what_there_is_no_time_for_counts_as_down() {
    let text =
        format!(r#"{{"total-ms":1,"dependencies":[{},{}]}}"#, http_one("a", "200", ""), http_one("b", "200", ""));
    let mut config: Config = serde_json::from_str(&text).unwrap();
    config.total_ms = 0;
    let collected = machine().run(|| DependencyCheck::collect(&config, 0)).0.unwrap();
    assert_eq!(collected.health.message, "`a`: not asked, the time was over; `b`: not asked, the time was over");
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let list = r#"{"name":"","kind":"http","target":"a"},{"name":"b","kind":"tcp","target":"b","server":"x"},
        {"name":"b","kind":"dns","target":"..","expect-status":[200]}"#;
    let text = format!(r#"{{"dependencies":[{list}],"timeout-ms":0}}"#);
    let found = DependencyCheck::validate(&serde_json::from_str(&text).unwrap());
    let places: Vec<&str> = found.iter().map(|problem| problem.pointer.as_str()).collect();
    let of = |index: usize, key: &str| format!("/dependencies/{index}/{key}");
    let expected = [
        "/timeout-ms".to_owned(),
        of(0, "name"),
        of(0, "target"),
        of(1, "target"),
        of(1, "server"),
        of(2, "name"),
        of(2, "target"),
        of(2, "server"),
        of(2, "expect-status"),
    ];
    assert_eq!(places, expected);
}
