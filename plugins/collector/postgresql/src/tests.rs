//! Against a PostgreSQL of this machine, each in a folder of its own and with the kind of password that the test names.

use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::host;
use quarterdeck_sdk::host::tcp::Address;
use quarterdeck_sdk::testing::{FakeHost, Stream};
use quarterdeck_sdk::{Labels, serde_json};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The folder with `initdb` and `postgres`, else a word about it: Debian keeps them off the path.
fn installed(test: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.sort();
    let found = folders.pop();
    if found.is_none() {
        let required = std::env::var_os("QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS").is_some();
        assert!(!required, "{test} needs `postgresql`, which is not installed");
        // To standard error itself: what a passing test prints by macro is kept back by the test runner.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs `postgresql`, which is not installed");
    }
    found
}

struct Server {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    /// `method`: how users from afar (and from here) prove who they are.
    fn start(test: &str, method: &str, encryption: &str) -> Option<Self> {
        Self::start_as(test, method, encryption, None)
    }

    /// `follows`: it is a replica, of the server that this connects to; nothing in it, of none.
    fn start_as(test: &str, method: &str, encryption: &str, follows: Option<&str>) -> Option<Self> {
        let programs = installed(test)?;
        let folder = std::env::temp_dir().join(format!("quarterdeck-pg-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // The server refuses to run as root: then it runs as the user that its package made.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let password = folder.join("password");
        std::fs::write(&password, "pencil\n").unwrap();
        let data = folder.join("data");
        let made = command(&programs.join("initdb"))
            .args(["-U", "watcher", "--auth-local", "trust", "--no-sync", "--auth-host", method])
            .arg("--pwfile")
            .arg(&password)
            .args(["--set", &format!("password_encryption={encryption}")])
            .arg("-D")
            .arg(&data)
            .output()
            .unwrap();
        let made =
            if made.status.success() { made } else { older_initdb(&programs, method, encryption, &password, &data) };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut settings = Vec::new();
        if let Some(connection) = follows {
            std::fs::write(data.join("standby.signal"), "").unwrap();
            settings.push(format!("primary_conninfo={connection}"));
        }
        // A replica has to allow as many as the cluster was made with.
        settings.push(format!("max_connections={}", if follows.is_some() { 100 } else { 20 }));
        Some(Self::run(&programs, folder, &settings))
    }

    /// A copy of this server, which follows it.
    fn replica(&self, test: &str) -> Self {
        let programs = installed(test).unwrap();
        let folder = std::env::temp_dir().join(format!("quarterdeck-pg-{}-{test}-replica", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let copied = command(&programs.join("pg_basebackup"))
            .args(["-U", "watcher", "-p", &self.port.to_string(), "--checkpoint=fast", "--no-sync", "-R", "-h"])
            .arg(&self.folder)
            .arg("-D")
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        Self::run(&programs, folder, &["max_connections=20".to_owned()])
    }

    /// Over the folder `data` in that folder.
    fn run(programs: &std::path::Path, folder: PathBuf, settings: &[String]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = command(&programs.join("postgres"))
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-c", "fsync=off"])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .arg("-k")
            .arg(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { child, folder, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while server.collect(&server.local()).is_none_or(|collected| collected.health.state == State::Failed) {
            assert!(Instant::now() < deadline, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// What is collected from it, once that is so.
    fn until(&self, what: &str, is_so: impl Fn(&Collection) -> bool) -> Collection {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let collected = self.collect(&self.local()).unwrap();
            if is_so(&collected) {
                return collected;
            }
            assert!(Instant::now() < deadline, "{what}: {collected:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn local(&self) -> Config {
        let socket = self.folder.join(format!(".s.PGSQL.{}", self.port));
        serde_json::from_value(serde_json::json!({"address": socket, "user": "watcher"})).unwrap()
    }

    fn far(&self, more: &str) -> Config {
        let text = format!(r#"{{"address":"127.0.0.1:{}","user":"watcher"{more}}}"#, self.port);
        serde_json::from_str(&text).unwrap()
    }

    /// `None`: the host refused.
    fn collect(&self, config: &Config) -> Option<Collection> {
        machine().run(|| Postgresql::collect(config, 0)).0.ok()
    }
}

/// A cluster whose `initdb` knows no `--set` gets the setting behind what it wrote.
fn older_initdb(
    programs: &std::path::Path,
    method: &str,
    encryption: &str,
    password: &std::path::Path,
    data: &std::path::Path,
) -> std::process::Output {
    let _ = std::fs::remove_dir_all(data);
    // `initdb` hashes the password as the method wants it.
    let hashing = if encryption == "md5" { "md5" } else { method };
    command(&programs.join("initdb"))
        .args(["-U", "watcher", "--auth-local", "trust", "--no-sync", "--auth-host", hashing])
        .arg("--pwfile")
        .arg(password)
        .arg("-D")
        .arg(data)
        .output()
        .unwrap()
}

fn command(program: &std::path::Path) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0);
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// Connections go out into the machine, and one secret may be revealed.
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
    host.secrets.insert("db".into(), b"pencil".to_vec());
    host.secrets.insert("other".into(), b"pen".to_vec());
    host
}

#[test]
fn a_server_shows_its_connections_databases_and_latency() {
    let Some(server) = Server::start("figures", "scram-sha-256", "scram-sha-256") else { return };
    let collected = server.collect(&server.local()).unwrap();
    let value = |name: &str| collected.value(name, &Labels::new());
    assert_eq!(value("postgresql_up"), Some(1.0));
    assert!(value("postgresql_query_duration_seconds").unwrap() > 0.0);
    assert_eq!(value("postgresql_in_recovery"), Some(0.0));
    assert_eq!(value("postgresql_replicas"), Some(0.0));
    assert!(value("postgresql_connections_max").unwrap() < 20.0);
    assert!(collected.value("postgresql_connections", &Labels::new().with("state", "active")).unwrap() >= 1.0);
    let own = Labels::new().with("database", "postgres");
    assert!(collected.value("postgresql_database_size_bytes", &own).unwrap() > 100_000.0);
    assert!(collected.value("postgresql_transactions_committed_total", &own).unwrap() >= 0.0);
    assert_eq!(collected.health.state, State::Ok, "{:?}", collected.health);
    assert!(collected.health.message.starts_with("version "), "{:?}", collected.health);
}

#[test]
fn a_password_is_proven_by_scram_and_a_wrong_one_is_refused_in_the_servers_words() {
    let Some(server) = Server::start("scram", "scram-sha-256", "scram-sha-256") else { return };
    let taken = server.collect(&server.far(r#","password-secret":"db""#)).unwrap();
    assert_eq!(taken.value("postgresql_up", &Labels::new()), Some(1.0), "{:?}", taken.health);
    let refused = server.collect(&server.far(r#","password-secret":"other""#)).unwrap();
    assert_eq!(refused.value("postgresql_up", &Labels::new()), Some(0.0));
    assert_eq!(refused.health.message, "FATAL: password authentication failed for user \"watcher\" (28P01)");
    let none = server.collect(&server.far("")).unwrap();
    assert!(none.health.message.contains("hint: name the secret"), "{:?}", none.health);
    assert!(server.collect(&server.far(r#","password-secret":"not-granted""#)).is_none());
}

#[test]
fn a_password_is_told_by_md5_and_in_the_clear_where_the_server_asks_for_that() {
    for (test, method, encryption) in [("md5", "md5", "md5"), ("clear", "password", "scram-sha-256")] {
        let Some(server) = Server::start(test, method, encryption) else { return };
        let taken = server.collect(&server.far(r#","password-secret":"db""#)).unwrap();
        assert_eq!(taken.health.state, State::Ok, "{method}: {:?}", taken.health);
    }
}

#[test]
fn tls_that_a_server_does_not_have_is_not_done_without() {
    let Some(server) = Server::start("tls", "trust", "scram-sha-256") else { return };
    let refused = server.collect(&server.far(r#","tls":"verify""#)).unwrap();
    assert!(refused.health.message.starts_with("the server has no TLS"), "{:?}", refused.health);
}

#[test]
fn a_server_whose_connections_are_all_taken_is_degraded() {
    let Some(server) = Server::start("full", "trust", "scram-sha-256") else { return };
    let config = Config { connections_percent: 1.0, ..server.local() };
    let collected = server.collect(&config).unwrap();
    assert_eq!(collected.health.state, State::Degraded, "{:?}", collected.health);
}

#[test]
fn a_replica_that_hears_nothing_of_the_server_that_it_follows_is_degraded() {
    let Some(server) = Server::start_as("cut-off", "trust", "scram-sha-256", Some("host=127.0.0.1 port=1")) else {
        return;
    };
    let collected = server.collect(&server.local()).unwrap();
    let value = |name: &str| collected.value(name, &Labels::new());
    assert_eq!(value("postgresql_in_recovery"), Some(1.0));
    assert_eq!(value("postgresql_replica_link_up"), Some(0.0));
    assert_eq!(collected.health, Health::degraded("it does not hear the server that it follows"));
    let Some(server) = Server::start_as("archive", "trust", "scram-sha-256", Some("")) else { return };
    let collected = server.collect(&server.local()).unwrap();
    assert_eq!(collected.value("postgresql_replica_link_up", &Labels::new()), None);
    assert_eq!(collected.health.state, State::Ok, "{:?}", collected.health);
}

#[test]
fn a_replica_and_the_server_that_it_follows_say_how_they_are_with_each_other() {
    let Some(primary) = Server::start("followed", "trust", "scram-sha-256") else { return };
    let replica = primary.replica("followed");
    let link = |collected: &Collection| collected.value("postgresql_replica_link_up", &Labels::new());
    let hears = replica.until("the replica follows", |collected| link(collected) == Some(1.0));
    assert_eq!(hears.value("postgresql_in_recovery", &Labels::new()), Some(1.0));
    assert_eq!(hears.value("postgresql_replica_lag_seconds", &Labels::new()), Some(0.0), "it has all that it was sent");
    assert_eq!(hears.health.state, State::Ok, "{:?}", hears.health);
    let follower = Labels::new().with("replica", "walreceiver");
    let lag = |collected: &Collection| collected.value("postgresql_replication_lag_bytes", &follower);
    let followed = primary.until("the replica has caught up", |collected| lag(collected) == Some(0.0));
    assert_eq!(followed.value("postgresql_in_recovery", &Labels::new()), Some(0.0));
    assert!(followed.value("postgresql_replication_lag_seconds", &follower).is_some());
    // One of them ends: the other one says so.
    drop(primary);
    let alone = replica.until("the replica hears nothing", |collected| link(collected) == Some(0.0));
    assert_eq!(alone.health, Health::degraded("it does not hear the server that it follows"));
}

#[test]
fn what_is_no_postgresql_is_a_server_that_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let _ = stream.unwrap().write_all(if index == 0 { b"SSH-2.0-OpenSSH_9.2\r\n" } else { b"" });
        }
    });
    let config: Config = serde_json::from_str(&format!(r#"{{"address":"127.0.0.1:{port}","user":"u"}}"#)).unwrap();
    let collect = || machine().run(|| Postgresql::collect(&config, 0)).0.unwrap();
    assert_eq!(collect().health, Health::failed("the server does not speak PostgreSQL's protocol"));
    let gone = collect();
    assert_eq!((gone.health.state, gone.families.len()), (State::Failed, 1));
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let config = serde_json::from_str(r#"{"address":"/run/pg","user":"","tls":"verify"}"#).unwrap();
    let found = Postgresql::validate(&config);
    assert_eq!(found.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/tls", "/user"]);
}
