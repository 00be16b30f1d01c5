//! Against an HAProxy of this machine.

use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::http::Response;
use quarterdeck_sdk::testing::{FakeHost, Stream};
use quarterdeck_sdk::{Labels, serde_json};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program, else a word about it: Debian keeps it in `/usr/sbin`.
fn installed(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join("haproxy")).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var_os("QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS").is_some();
        assert!(!required, "{test} needs `haproxy`, which is not installed");
        // To standard error itself: what a passing test prints by macro is kept back by the test runner.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs `haproxy`, which is not installed");
    }
    found
}

struct Balancer {
    folder: PathBuf,
    child: Child,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Balancer {
    /// With a backend of these servers.
    fn start(test: &str, servers: &str) -> Option<Self> {
        let program = installed(test)?;
        let folder = std::env::temp_dir().join(format!("quarterdeck-haproxy-stats-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let front = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = folder.join("haproxy.cfg");
        let text = format!(
            "global\n stats socket {} mode 600 level user\n\
             defaults\n mode http\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n\
             frontend front\n bind 127.0.0.1:{front}\n default_backend web\n\
             backend web\n{servers}\n",
            folder.join("s").display()
        );
        std::fs::write(&file, text).unwrap();
        let child = Command::new(program).arg("-db").arg("-f").arg(file).stderr(Stdio::null()).spawn().unwrap();
        let balancer = Balancer { folder, child };
        let deadline = Instant::now() + Duration::from_secs(30);
        while UnixStream::connect(balancer.folder.join("s")).is_err() {
            assert!(Instant::now() < deadline, "HAProxy does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(balancer)
    }

    fn collect(&self, more: &str) -> Collection {
        let socket = self.folder.join("s");
        let config = serde_json::from_str(&format!(r#"{{"socket":"{}"{more}}}"#, socket.display())).unwrap();
        let connect = |address: &Address| match address {
            Address::Unix(path) => UnixStream::connect(path)
                .map(|stream| Box::new(stream) as Box<dyn Stream>)
                .map_err(|error| Error::Failed(error.to_string())),
            other => Err(Error::Denied(format!("{other:?}"))),
        };
        let host = FakeHost { tcp: Some(Box::new(connect)), ..FakeHost::default() };
        host.run(|| HaproxyStats::collect(&config, 0)).0.unwrap()
    }
}

#[test]
fn frontends_backends_and_servers_are_reported() {
    let Some(balancer) = Balancer::start("figures", " server s1 127.0.0.1:1 weight 7") else { return };
    let collected = balancer.collect("");
    let (proxy, server) = (Labels::new().with("proxy", "web"), Labels::new().with("proxy", "web").with("server", "s1"));
    assert_eq!(collected.value("haproxy_up", &Labels::new()), Some(1.0));
    assert_eq!(collected.value("haproxy_frontend_up", &Labels::new().with("proxy", "front")), Some(1.0));
    assert_eq!(collected.value("haproxy_backend_up", &proxy), Some(1.0));
    assert_eq!(collected.value("haproxy_server_weight", &server), Some(7.0));
    assert_eq!(collected.value("haproxy_server_sessions", &server), Some(0.0));
    assert_eq!(collected.value("haproxy_backend_responses_total", &proxy.with("code", "5xx")), Some(0.0));
    assert_eq!(collected.health, Health::ok("1 frontends, 1 backends, 1 servers"));
    let fewer = balancer.collect(r#","ignore":["web"]"#);
    assert_eq!(fewer.health, Health::ok("1 frontends, 0 backends, 0 servers"));
}

#[test]
fn a_backend_whose_servers_are_all_down_fails_and_one_of_two_degrades() {
    // Nobody listens at port 1.
    let (dead, fine) = (" server s1 127.0.0.1:1 check inter 50ms fall 1", "\n server s2 127.0.0.1:2");
    for (servers, expected) in [(dead.to_owned(), State::Failed), (format!("{dead}{fine}"), State::Degraded)] {
        let Some(balancer) = Balancer::start(&format!("{expected:?}"), &servers) else { return };
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut collected = balancer.collect("");
        while collected.health.state != expected {
            assert!(Instant::now() < deadline, "{collected:?}");
            std::thread::sleep(Duration::from_millis(20));
            collected = balancer.collect("");
        }
        assert!(collected.health.message.contains("`web/s1`"), "{:?}", collected.health);
        let server = Labels::new().with("proxy", "web").with("server", "s1");
        assert_eq!(collected.value("haproxy_server_up", &server), Some(0.0));
    }
}

#[test]
fn a_page_is_read_as_the_socket_is_and_what_is_no_table_takes_it_down() {
    let collect = |status: u16, body: &'static str| {
        let answer = move |_: &Request| Ok(Response { status, body: body.into(), ..Response::default() });
        let host = FakeHost { http: Some(Box::new(answer)), ..FakeHost::default() };
        let config = serde_json::from_str(r#"{"url":"http://127.0.0.1:8404/stats;csv"}"#).unwrap();
        host.run(|| HaproxyStats::collect(&config, 0)).0.unwrap()
    };
    let page = "# pxname,svname,scur,slim,status,type,\nfront,FRONTEND,10,10,OPEN,0,\nweb,s1,0,,MAINT,2,\n";
    let full = collect(200, page);
    assert_eq!(full.health, Health::degraded("as many sessions as there may be: `front/FRONTEND`"));
    assert_eq!(full.value("haproxy_server_up", &Labels::new().with("proxy", "web").with("server", "s1")), None);
    let html = collect(200, "<html>");
    assert_eq!(html.health, Health::failed("answered `<html>`, expected a table of statistics"));
    assert_eq!(html.value("haproxy_up", &Labels::new()), Some(0.0));
    assert_eq!(collect(401, "").health, Health::failed("answered 401, expected 200 to 299"));
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let places = |json: &str| {
        let found = HaproxyStats::validate(&serde_json::from_str(json).unwrap());
        found.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
    };
    assert_eq!(places("{}"), [""]);
    assert_eq!(places(r#"{"socket":"a","url":"b","timeout-ms":0}"#), ["", "/socket", "/url", "/timeout-ms"]);
    assert!(places(r#"{"socket":"/run/haproxy.sock"}"#).is_empty());
}
