use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::serde_json;
use quarterdeck_sdk::testing::{FakeHost, Stream};
use simple_dns::rdata::{A, AAAA, CNAME, MX, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

/// A server over TCP, which answers each question with what it has under that name.
fn server() -> u16 {
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
            let answer = answer(&bytes);
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            // In two parts, and what is asked for ends in the middle of the first.
            let whole = [&length[..], &answer].concat();
            let _ = stream.write_all(&whole[..1]).and_then(|()| stream.write_all(&whole[1..]));
        }
    });
    port
}

fn answer(query: &[u8]) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    assert!(query.has_flags(PacketFlag::RECURSION_DESIRED));
    let question = query.questions.first().unwrap().clone();
    let name = question.qname.to_string();
    let mut reply = Packet::new_reply(query.id());
    if name == "other.example.com" {
        reply.set_id(query.id().wrapping_add(1));
    }
    let mut add = |data| {
        let record = ResourceRecord::new(Name::new("x.example.com").unwrap(), CLASS::IN, 60, data);
        reply.answers.push(record);
    };
    match name.as_str() {
        "www.example.com" => {
            add(RData::CNAME(CNAME(Name::new("real.example.com").unwrap())));
            for last in [1, 2] {
                add(RData::A(A { address: Ipv4Addr::new(192, 0, 2, last).into() }));
            }
            add(RData::AAAA(AAAA { address: "2001:db8::1".parse::<Ipv6Addr>().unwrap().into() }));
        }
        "_sip._tcp.example.com" => {
            let target = Name::new("SIP.example.com").unwrap();
            add(RData::SRV(SRV { priority: 10, weight: 5, port: 5060, target }));
        }
        "example.com" => {
            add(RData::TXT(TXT::new().with_string("v=spf1 ").unwrap().with_string("-all").unwrap()));
            add(RData::MX(MX { preference: 10, exchange: Name::new("mx.example.com").unwrap() }));
        }
        "cut.example.com" => {
            add(RData::A(A { address: Ipv4Addr::new(192, 0, 2, 1).into() }));
            reply.set_flags(PacketFlag::TRUNCATION);
        }
        "broken.example.com" => *reply.rcode_mut() = RCODE::ServerFailure,
        "empty.example.com" => {}
        _ => *reply.rcode_mut() = RCODE::NameError,
    }
    reply.build_bytes_vec_compressed().unwrap()
}

fn ask(port: u16, more: &str) -> Collection {
    let connect = |address: &Address| match address {
        Address::Tcp(host, port) => TcpStream::connect((host.as_str(), *port))
            .map(|stream| Box::new(stream) as Box<dyn Stream>)
            .map_err(|error| Error::Failed(error.to_string())),
        other => Err(Error::Denied(format!("{other:?}"))),
    };
    let host = FakeHost { tcp: Some(Box::new(connect)), ..FakeHost::default() };
    let config = config(&format!(r#"{{"server":"127.0.0.1:{port}",{more}}}"#));
    host.run(|| DnsProbe::collect(&config, 1_700_000_000_123)).0.unwrap()
}

fn value(collected: &Collection, name: &str) -> Option<f64> {
    collected.value(name, &Labels::new())
}

#[test]
fn answers_of_the_type_are_counted_and_others_are_not() {
    let port = server();
    let collected = ask(port, r#""name":"www.example.com.""#);
    assert_eq!(value(&collected, "probe_success"), Some(1.0));
    assert_eq!(value(&collected, "dns_answers"), Some(2.0));
    assert_eq!(value(&collected, "dns_ttl_seconds"), Some(60.0));
    assert_eq!(value(&collected, "dns_response_code"), Some(0.0));
    assert!(collected.health.message.starts_with("2 answers in "), "{:?}", collected.health);
}

#[test]
fn each_type_is_compared_as_it_is_shown() {
    let port = server();
    for (name, kind, expected) in [
        ("www.example.com", "a", "192.0.2.2"),
        ("www.example.com", "aaaa", "2001:DB8:0::1"),
        ("www.example.com", "cname", "real.example.com."),
        ("_sip._tcp.example.com", "srv", "10 5 5060 sip.example.com"),
        ("example.com", "txt", "v=spf1 -all"),
        ("example.com", "mx", "10 mx.example.com"),
    ] {
        let collected = ask(port, &format!(r#""name":"{name}","type":"{kind}","expect":["{expected}"]"#));
        assert_eq!(collected.health.state, State::Ok, "{name} {kind}: {:?}", collected.health);
        let label = Labels::new().with("answer", expected);
        assert_eq!(collected.value("dns_expected_found", &label), Some(1.0));
    }
}

#[test]
fn an_answer_that_is_missing_or_too_many_fails_and_is_named() {
    let port = server();
    let failed = |more: &str, message: &str| {
        let collected = ask(port, more);
        assert_eq!(value(&collected, "probe_success"), Some(0.0), "{more}");
        assert_eq!(collected.health, Health::failed(message), "{more}");
    };
    let both = "answered `192.0.2.1`, `192.0.2.2`";
    failed(r#""name":"www.example.com","expect":["192.0.2.9"]"#, &format!("{both}, expected `192.0.2.9`"));
    failed(
        r#""name":"www.example.com","expect":["192.0.2.1"],"expect-exactly":true"#,
        &format!("{both}, did not expect `192.0.2.2`"),
    );
    failed(r#""name":"nowhere.example.com""#, "the server says about `nowhere.example.com`: no such name");
    failed(r#""name":"broken.example.com""#, "the server says about `broken.example.com`: server failure");
    failed(r#""name":"empty.example.com""#, "`empty.example.com` has no answer of type A");
    failed(r#""name":"other.example.com""#, "the server answered another question");
    failed(
        r#""name":"www.example.com","expect-no-such-name":true"#,
        "`www.example.com` exists, and should not: no error",
    );
}

#[test]
fn a_name_that_must_not_exist_is_success_where_it_does_not() {
    let collected = ask(server(), r#""name":"nowhere.example.com","expect-no-such-name":true"#);
    assert_eq!((value(&collected, "probe_success"), value(&collected, "dns_response_code")), (Some(1.0), Some(3.0)));
}

#[test]
fn a_server_that_is_not_there_or_says_something_else_is_a_measurement() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let collected = ask(gone, r#""name":"a.example.com""#);
    assert_eq!((value(&collected, "probe_success"), collected.health.state), (Some(0.0), State::Failed));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let mut heard = [0; 64];
        let _ = stream.read(&mut heard);
        let _ = stream.write_all(&[0, 3, 1, 2, 3]);
    });
    let collected = ask(port, r#""name":"a.example.com""#);
    assert!(collected.health.message.starts_with("the answer can't be read"), "{:?}", collected.health);
}

#[test]
fn an_answer_that_was_cut_off_is_none_whatever_is_left_of_it() {
    let collected = ask(server(), r#""name":"cut.example.com","expect":["192.0.2.1"]"#);
    assert_eq!(value(&collected, "probe_success"), Some(0.0));
    assert!(collected.health.message.contains("has cut its answer off"), "{:?}", collected.health);
}

#[test]
fn servers_are_given_with_or_without_a_port() {
    let of = |text: &str, tls| {
        let config = config(&format!(r#"{{"server":"{text}","name":"a","tls":{tls}}}"#));
        address(&config)
    };
    assert_eq!(of("192.0.2.1", false), Some(Address::Tcp("192.0.2.1".into(), 53)));
    assert_eq!(of("2001:db8::1", true), Some(Address::Tls("2001:db8::1".into(), 853)));
    assert_eq!(of("dns.example.com", true), Some(Address::Tls("dns.example.com".into(), 853)));
    assert_eq!(of("dns.example.com:5353", false), Some(Address::Tcp("dns.example.com".into(), 5353)));
    assert_eq!(of("/run/dns.sock", false), None);
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let long = "a".repeat(64);
    let json = format!(r#"{{"server":"a:b","name":"{long}.com","expect":["x"],"expect-no-such-name":true}}"#);
    let found = DnsProbe::validate(&config(&json));
    assert_eq!(
        found.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(),
        ["/server", "/name", "/expect"]
    );
}
