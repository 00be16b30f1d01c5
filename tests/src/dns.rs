//! `dns-probe` in the real host, over a name server that is asked over TCP on the loopback.

use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const NO_SUCH_NAME: u8 = 3;
/// Of a question in an answer, at which its name stands.
const NAME: [u8; 2] = [0xc0, 0x0c];

/// Answers every question for an address with those that it holds; one of its names there is not.
#[derive(Clone, Default)]
struct NameServer {
    addresses: Arc<Mutex<Vec<[u8; 4]>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// Gives its port. It ends with the test.
    fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || while server.answer(&stream).is_ok() {});
            }
        });
        port
    }

    /// One question of a connection (RFC 1035, 4.2.2: its length stands before it).
    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question)?;
        let (mut labels, mut at) = (Vec::new(), 12);
        while question[at] != 0 {
            let end = at + 1 + usize::from(question[at]);
            labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
            at = end;
        }
        // The name's end, type and class.
        let question_end = at + 5;
        let name = labels.join(".");
        self.asked.lock().unwrap().push(name.clone());
        let addresses = if name == "gone.example.com" { Vec::new() } else { self.addresses.lock().unwrap().clone() };
        let code = if name == "gone.example.com" { NO_SUCH_NAME } else { 0 };
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
        answer.extend(&question[12..question_end]);
        for address in addresses {
            answer.extend(NAME);
            // An address of the Internet, good for a minute.
            answer.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(address);
        }
        stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes())?;
        stream.write_all(&answer)
    }
}

fn instance(name: &str, port: u16, config: &str) -> String {
    format!(
        "[instances.\"dns-probe/{name}\"]\nplugin = \"dns-probe\"\nevery = \"200ms\"\n\
         config = {{ server = \"127.0.0.1:{port}\", {config} }}\ngrants = {{ tcp = [\"127.0.0.1:{port}\"] }}\n"
    )
}

async fn health(daemon: &Daemon, name: &str, state: &str) -> Value {
    eventually(&format!("`{name}` is {state}"), SOON, async || {
        let shown = daemon.get(&format!("/api/v1/instances/dns-probe/{name}")).await;
        (shown["health"]["state"] == state).then_some(shown)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_server_is_asked_and_judged_by_what_it_answers() {
    let server = NameServer::default();
    *server.addresses.lock().unwrap() = vec![[192, 0, 2, 7], [192, 0, 2, 8]];
    let port = server.start();
    // A port that was free a moment ago.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let setup = Setup::new().config(
        &[
            instance("shop", port, "name = \"shop.example.com\", expect = [\"192.0.2.7\"]"),
            instance("exact", port, "name = \"shop.example.com\", expect = [\"192.0.2.7\"], expect-exactly = true"),
            instance("gone", port, "name = \"gone.example.com\", expect-no-such-name = true"),
            instance("missing", port, "name = \"gone.example.com\""),
            instance("silent", silent, "name = \"shop.example.com\""),
        ]
        .concat(),
    );
    let daemon = setup.start().await;
    let latest = async |metric: &str, name: &str| {
        eventually(&format!("a sample of {metric} of {name}"), SOON, async || {
            daemon.latest(&format!("metric={metric}&label=instance=dns-probe/{name}")).await
        })
        .await
    };
    health(&daemon, "shop", "ok").await;
    for (metric, expected) in
        [("probe_success", 1.0), ("dns_answers", 2.0), ("dns_ttl_seconds", 60.0), ("dns_response_code", 0.0)]
    {
        assert_eq!(latest(metric, "shop").await, expected, "{metric}");
    }
    assert_eq!(
        daemon.latest("metric=dns_expected_found&label=instance=dns-probe/shop&label=answer=192.0.2.7").await,
        Some(1.0)
    );
    assert!(latest("probe_success_duration_seconds", "shop").await > 0.0);
    health(&daemon, "exact", "failed").await;
    health(&daemon, "gone", "ok").await;
    health(&daemon, "missing", "failed").await;
    assert_eq!(latest("dns_response_code", "missing").await, f64::from(NO_SUCH_NAME));
    health(&daemon, "silent", "failed").await;
    assert_eq!(latest("probe_success", "silent").await, 0.0);
    let asked = server.asked.lock().unwrap().clone();
    assert!(asked.iter().any(|name| name == "shop.example.com"), "{asked:?}");

    // It answers otherwise, and is mended.
    *server.addresses.lock().unwrap() = vec![[203, 0, 113, 1]];
    let shown = health(&daemon, "shop", "failed").await;
    assert!(shown["health"]["message"].as_str().unwrap().contains("192.0.2.7"), "{shown:#}");
    assert_eq!(shown["state"], json!("active"), "{shown:#}");
    *server.addresses.lock().unwrap() = vec![[192, 0, 2, 7]];
    health(&daemon, "shop", "ok").await;
    health(&daemon, "exact", "ok").await;
}
