//! Against a Redis of this machine.

use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::host;
use quarterdeck_sdk::testing::{FakeHost, Stream};
use quarterdeck_sdk::{Labels, serde_json};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whether the program is there, else a word about it.
fn installed(test: &str) -> bool {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        let required = std::env::var_os("QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS").is_some();
        assert!(!required, "{test} needs `redis-server`, which is not installed");
        // To standard error itself: what a passing test prints by macro is kept back by the test runner.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs `redis-server`, which is not installed");
    }
    found
}

struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(test: &str, more: &[&str]) -> Option<Self> {
        installed(test).then_some(())?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"])
            .args(more)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "Redis does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Server { child, port })
    }

    fn collect(&self, more: &str) -> Collection {
        collect(&format!("127.0.0.1:{}", self.port), more).unwrap()
    }

    fn tell(&self, words: &[&[u8]]) {
        let address = Address::Tcp("127.0.0.1".into(), self.port);
        machine().run(|| Session::open(&address).unwrap().ask(words).unwrap());
    }
}

fn machine() -> FakeHost {
    let failed = |error: std::io::Error| host::Error::Failed(error.to_string());
    let connect = move |address: &Address| match address {
        Address::Tcp(host, port) => {
            TcpStream::connect((host.as_str(), *port)).map(|stream| Box::new(stream) as Box<dyn Stream>).map_err(failed)
        }
        Address::Unix(path) => {
            UnixStream::connect(path).map(|stream| Box::new(stream) as Box<dyn Stream>).map_err(failed)
        }
        Address::Tls(..) => Err(host::Error::Denied("tls".to_owned())),
    };
    let mut host = FakeHost { tcp: Some(Box::new(connect)), ..FakeHost::default() };
    host.secrets.insert("cache".into(), b"pa$$ \"word\"".to_vec());
    host
}

fn collect(address: &str, more: &str) -> Result<Collection, Failure> {
    let config = serde_json::from_str(&format!(r#"{{"address":"{address}"{more}}}"#)).unwrap();
    machine().run(|| Redis::collect(&config, 0)).0
}

#[test]
fn a_server_shows_its_memory_clients_and_keys() {
    let Some(server) = Server::start("figures", &["--maxmemory", "100mb"]) else { return };
    server.tell(&[b"SET", b"a", b"1"]);
    server.tell(&[b"SET", b"b", b"1", b"EX", b"1000"]);
    let collected = server.collect("");
    let value = |name: &str| collected.value(name, &Labels::new());
    assert_eq!(value("redis_up"), Some(1.0));
    assert!(value("redis_ping_duration_seconds").unwrap() > 0.0);
    assert_eq!(value("redis_memory_max_bytes"), Some(104_857_600.0));
    assert!(value("redis_clients_connected").unwrap() >= 1.0);
    let database = Labels::new().with("database", "db0");
    assert_eq!(collected.value("redis_keys", &database), Some(2.0));
    assert_eq!(collected.value("redis_keys_expiring", &database), Some(1.0));
    assert_eq!(collected.health.state, State::Ok, "{:?}", collected.health);
    let full = server.collect(r#","memory-percent":0.1"#);
    assert_eq!(full.health.state, State::Degraded, "{:?}", full.health);
}

#[test]
fn a_password_is_told_where_there_is_one_and_a_wrong_one_is_refused_in_the_servers_words() {
    let Some(server) = Server::start("password", &["--requirepass", "pa$$ \"word\""]) else { return };
    let taken = server.collect(r#","password-secret":"cache""#);
    assert_eq!(taken.health.state, State::Ok, "{:?}", taken.health);
    let user = server.collect(r#","password-secret":"cache","user":"default""#);
    assert_eq!(user.health.state, State::Ok, "{:?}", user.health);
    let other = server.collect(r#","password-secret":"cache","user":"nobody""#);
    assert!(other.health.message.starts_with("WRONGPASS"), "{:?}", other.health);
    let none = server.collect("");
    assert_eq!(none.value("redis_up", &Labels::new()), Some(0.0));
    assert!(none.health.message.starts_with("NOAUTH"), "{:?}", none.health);
    let denied = collect(&format!("127.0.0.1:{}", server.port), r#","password-secret":"other""#);
    assert!(matches!(denied, Err(Failure::Rejected(_))), "{denied:?}");
}

#[test]
fn a_replica_and_the_one_that_it_follows_say_how_they_are_with_each_other() {
    let Some(primary) = Server::start("replication", &["--repl-diskless-sync-delay", "0"]) else { return };
    let port = primary.port.to_string();
    let Some(replica) = Server::start("replication", &["--replicaof", "127.0.0.1", &port]) else { return };
    let deadline = Instant::now() + Duration::from_secs(60);
    let link = |collected: &Collection| collected.value("redis_replica_link_up", &Labels::new());
    while link(&replica.collect("")) != Some(1.0) {
        assert!(Instant::now() < deadline, "the replica does not follow");
        std::thread::sleep(Duration::from_millis(50));
    }
    let follower = Labels::new().with("replica", format!("127.0.0.1:{}", replica.port));
    let mut followed = primary.collect("");
    while followed.value("redis_replication_lag_bytes", &follower).is_none() {
        assert!(Instant::now() < deadline, "the replica is not seen: {followed:?}");
        std::thread::sleep(Duration::from_millis(50));
        followed = primary.collect("");
    }
    assert_eq!(followed.value("redis_replicas_connected", &Labels::new()), Some(1.0));
    drop(primary);
    while link(&replica.collect("")) != Some(0.0) {
        assert!(Instant::now() < deadline, "the end of the primary is not seen");
        std::thread::sleep(Duration::from_millis(50));
    }
    let alone = replica.collect("").health;
    assert_eq!(alone, Health::degraded("it does not hear the server that it follows"));
}

#[test]
fn what_is_no_redis_is_a_server_that_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let words: [&[u8]; 4] = [b"HTTP/1.1 400 Bad Request\r\n", b"$99999999999\r\n", b"\r\n", b""];
            let _ = stream.write_all(words[index % words.len()]);
        }
    });
    let ask = || collect(&format!("127.0.0.1:{port}"), "").unwrap();
    for _ in 0..3 {
        assert_eq!(ask().health, Health::failed("the server does not speak Redis's protocol"));
    }
    let gone = ask();
    assert_eq!((gone.health.state, gone.families.len()), (State::Failed, 1), "{:?}", gone.health);
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let config = serde_json::from_str(r#"{"address":"/run/redis.sock","tls":true,"user":"a"}"#).unwrap();
    let found = Redis::validate(&config);
    assert_eq!(found.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/tls", "/user"]);
}
