//! The bundled collectors over real targets, through the doors of the real host: sockets, secrets, files, programs.

use crate::harness::{Daemon, Setup, counterpart, eventually};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

const SOON: Duration = Duration::from_secs(60);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program of others, ended with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn start(command: &mut Command) -> Self {
        Program(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

async fn listens(port: u16) {
    eventually("the target listens", SOON, async || TcpStream::connect(("127.0.0.1", port)).ok()).await;
}

/// The instance, once its health is in that state.
async fn health(daemon: &Daemon, instance: &str, state: &str) -> Value {
    eventually(&format!("`{instance}` is {state}"), SOON, async || {
        let shown = daemon.get(&format!("/api/v1/instances/{instance}")).await;
        (shown["health"]["state"] == state).then_some(shown)
    })
    .await
}

async fn latest(daemon: &Daemon, metric: &str, labels: &str) -> f64 {
    eventually(&format!("a sample of {metric}"), SOON, async || {
        daemon.latest(&format!("metric={metric}{labels}")).await
    })
    .await
}

fn redis(program: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"]);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_is_asked_with_its_password_and_its_end_is_seen() {
    let Some(program) = counterpart::find("redis-server", "a_redis_is_asked_with_its_password_and_its_end_is_seen")
    else {
        return;
    };
    let port = free_port();
    let server = Program::start(redis(&program, port).args(["--requirepass", "se cret"]));
    listens(port).await;
    let instance = |name: &str, grants: &str| {
        format!(
            "[instances.\"redis/{name}\"]\nplugin = \"redis\"\nevery = \"200ms\"\n\
             config = {{ address = \"127.0.0.1:{port}\", password-secret = \"cache\" }}\n\
             grants = {{ tcp = [\"127.0.0.1:{port}\"], {grants} }}\n"
        )
    };
    let setup = Setup::new().variable("CACHE_PASSWORD", "se cret").config(&format!(
        "[secrets]\ncache = {{ env = \"CACHE_PASSWORD\" }}\n{}{}",
        instance("cache", "reveal = [\"cache\"]"),
        // What the host may use for it, the plugin does not see.
        instance("denied", "secret = [\"cache\"]"),
    ));
    let daemon = setup.start().await;
    health(&daemon, "redis/cache", "ok").await;
    assert_eq!(latest(&daemon, "redis_up", "&label=instance=redis/cache").await, 1.0);
    assert!(latest(&daemon, "redis_memory_used_bytes", "&label=instance=redis/cache").await > 1e5);
    let denied = health(&daemon, "redis/denied", "failed").await;
    assert!(denied["health"]["message"].as_str().unwrap().contains("grants.reveal"), "{denied:#}");
    drop(server);
    let shown = health(&daemon, "redis/cache", "failed").await;
    assert_eq!(shown["state"], "active", "{shown:#}");
    eventually("the sample", SOON, async || {
        daemon.latest("metric=redis_up&label=instance=redis/cache").await.filter(|value| *value == 0.0)
    })
    .await;
}

/// A certificate for `localhost` that ends in so many days, its key, and the authority that signed it, in PEM.
struct Identity {
    certificate: String,
    key: String,
    authority: String,
}

impl Identity {
    fn new(days: u64) -> Self {
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority of the test");
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let authority_certificate = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_after = (SystemTime::now() + Duration::from_secs(days * 86_400)).into();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem(), authority: authority_certificate }
    }

    /// Paths of the certificate, the key, and the authority.
    fn write(&self, folder: &Path) -> [String; 3] {
        [("certificate.pem", &self.certificate), ("key.pem", &self.key), ("authority.pem", &self.authority)].map(
            |(name, text)| {
                let path = folder.join(name);
                std::fs::write(&path, text).unwrap();
                path.display().to_string()
            },
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_judged_by_its_days_its_names_and_its_chain() {
    let test = "a_certificate_is_judged_by_its_days_its_names_and_its_chain";
    let Some(nginx) = counterpart::find("nginx", test) else { return };
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let [certificate, key, authority] = Identity::new(9).write(&folder);
    let (port, home) = (free_port(), folder.display());
    let file = folder.join("nginx.conf");
    std::fs::write(
        &file,
        format!(
            "daemon off;\nmaster_process off;\npid {home}/nginx.pid;\nerror_log /dev/null;\nevents {{}}\n\
             http {{\n access_log off;\n client_body_temp_path {home}/b;\n proxy_temp_path {home}/p;\n \
             fastcgi_temp_path {home}/f;\n uwsgi_temp_path {home}/u;\n scgi_temp_path {home}/s;\n \
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; }}\n}}\n"
        ),
    )
    .unwrap();
    let _nginx = Program::start(Command::new(nginx).arg("-c").arg(&file).args(["-e", "/dev/null"]));
    listens(port).await;
    let probe = |name: &str, more: &str| {
        format!(
            "[instances.\"tls-probe/{name}\"]\nplugin = \"tls-probe\"\nevery = \"200ms\"\n\
             config = {{ host = \"localhost\", port = {port}{more} }}\ngrants = {{ tcp = [\"localhost:{port}\"] }}\n"
        )
    };
    let names = probe("names", ", names = [\"localhost\", \"shop.example.com\"]");
    let text = format!("{}{}{names}", probe("soon", ""), probe("fine", ", warn-days = 3"));
    let daemon = setup.variable("SSL_CERT_FILE", &authority).config(&text).start().await;
    let shown = health(&daemon, "tls-probe/soon", "degraded").await;
    assert!(shown["health"]["message"].as_str().unwrap().starts_with("the certificate ends in "), "{shown:#}");
    let days = latest(&daemon, "tls_certificate_days_left", "&label=instance=tls-probe/soon").await;
    assert!((8.9..=9.0).contains(&days), "{days}");
    health(&daemon, "tls-probe/fine", "ok").await;
    assert_eq!(latest(&daemon, "tls_chain_trusted", "&label=instance=tls-probe/fine").await, 1.0);
    let shown = health(&daemon, "tls-probe/names", "failed").await;
    assert!(shown["health"]["message"].as_str().unwrap().contains("is not good for `shop.example.com`"), "{shown:#}");
    // A daemon that knows another authority.
    let setup = daemon.kill();
    std::fs::write(&authority, Identity::new(1).authority).unwrap();
    let daemon = setup.start().await;
    let shown = eventually("the chain is not trusted", SOON, async || {
        let shown = daemon.get("/api/v1/instances/tls-probe/fine").await;
        (shown["health"]["state"] == "failed").then_some(shown)
    })
    .await;
    assert!(shown["health"]["message"].as_str().unwrap().contains("is not trusted"), "{shown:#}");
}

/// A PostgreSQL in a folder, whose user `watcher` has to prove the password `pencil`; with files of a certificate and its key, over TLS only. It
/// refuses to run as root.
fn postgresql(folder: &Path, port: u16, tls: Option<[&str; 2]>, test: &str) -> Option<Program> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.sort();
    let Some(programs) = folders.pop() else {
        counterpart::find("postgresql", test);
        return None;
    };
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let command = |name: &str| {
        let program = programs.join(name);
        if !is_root {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
        command
    };
    let (home, password) = (folder.join("postgresql"), folder.join("postgresql/password"));
    std::fs::create_dir_all(&home).unwrap();
    for (path, mode) in [(folder, 0o755), (home.as_path(), 0o777)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::fs::write(&password, "pencil\n").unwrap();
    let made = command("initdb")
        .args(["-U", "watcher", "--no-sync", "--auth", "scram-sha-256", "--pwfile"])
        .arg(&password)
        .arg("-D")
        .arg(home.join("data"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut server = command("postgres");
    if let Some([certificate, key]) = tls {
        if is_root {
            assert!(Command::new("chown").args(["postgres", key]).status().unwrap().success());
        }
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let rules = home.join("data/pg_hba.conf");
        std::fs::write(rules, "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
        for setting in ["ssl=on".to_owned(), format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}")] {
            server.args(["-c", &setting]);
        }
    }
    server.arg("-D").arg(home.join("data")).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-c", "fsync=off", "-k"]);
    Some(Program::start(server.arg(&home)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_is_asked_with_a_proof_of_its_password() {
    let setup = Setup::new();
    let port = free_port();
    let test = "a_postgresql_is_asked_with_a_proof_of_its_password";
    let Some(_server) = postgresql(setup.folder.path(), port, None, test) else { return };
    let setup = setup.variable("DB_PASSWORD", "pencil").variable("DB_OTHER", "pen").config(&format!(
        "[secrets]\ndb = {{ env = \"DB_PASSWORD\" }}\nother = {{ env = \"DB_OTHER\" }}\n{}{}",
        database("db", port),
        database("other", port),
    ));
    let daemon = setup.start().await;
    let shown = health(&daemon, "postgresql/db", "ok").await;
    assert!(shown["health"]["message"].as_str().unwrap().starts_with("version "), "{shown:#}");
    assert!(latest(&daemon, "postgresql_connections_max", "&label=instance=postgresql/db").await > 1.0);
    let size = latest(&daemon, "postgresql_database_size_bytes", "&label=database=postgres").await;
    assert!(size > 1e6, "{size}");
    let shown = eventually("the wrong password is refused", SOON, async || {
        let shown = daemon.get("/api/v1/instances/postgresql/other").await;
        shown["health"]["message"].as_str().unwrap_or_default().contains("28P01").then_some(shown)
    })
    .await;
    assert_eq!(shown["health"]["state"], "failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_wants_tls_is_asked_over_tls_by_a_certificate_that_is_trusted() {
    let test = "a_postgresql_that_wants_tls_is_asked_over_tls_by_a_certificate_that_is_trusted";
    let setup = Setup::new();
    let [certificate, key, authority] = Identity::new(9).write(setup.folder.path());
    let port = free_port();
    let Some(_server) = postgresql(setup.folder.path(), port, Some([&certificate, &key]), test) else { return };
    let instance = |name: &str, tls: &str| {
        format!(
            "[instances.\"postgresql/{name}\"]\nplugin = \"postgresql\"\nevery = \"500ms\"\n\
             config = {{ address = \"localhost:{port}\", user = \"watcher\", password-secret = \"db\", tls = \"{tls}\" }}\n\
             grants = {{ tcp = [\"localhost:{port}\"], reveal = [\"db\"] }}\n"
        )
    };
    let setup = setup.variable("DB_PASSWORD", "pencil").variable("SSL_CERT_FILE", &authority).config(&format!(
        "[secrets]\ndb = {{ env = \"DB_PASSWORD\" }}\n{}{}",
        instance("encrypted", "verify"),
        instance("clear", "off"),
    ));
    let daemon = setup.start().await;
    health(&daemon, "postgresql/encrypted", "ok").await;
    let shown = eventually("the server refuses what is not encrypted", SOON, async || {
        let shown = daemon.get("/api/v1/instances/postgresql/clear").await;
        shown["health"]["message"].as_str().unwrap_or_default().contains("no encryption").then_some(shown)
    })
    .await;
    assert_eq!(shown["health"]["state"], "failed");
    let setup = daemon.kill();
    std::fs::write(&authority, Identity::new(1).authority).unwrap();
    let daemon = setup.start().await;
    let shown = health(&daemon, "postgresql/encrypted", "failed").await;
    assert!(shown["health"]["message"].as_str().unwrap().contains("certificate"), "{shown:#}");
}

fn database(secret: &str, port: u16) -> String {
    format!(
        "[instances.\"postgresql/{secret}\"]\nplugin = \"postgresql\"\nevery = \"500ms\"\n\
         config = {{ address = \"127.0.0.1:{port}\", user = \"watcher\", password-secret = \"{secret}\" }}\n\
         grants = {{ tcp = [\"127.0.0.1:{port}\"], reveal = [\"{secret}\"] }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nginx_and_an_haproxy_say_how_they_are() {
    let test = "an_nginx_and_an_haproxy_say_how_they_are";
    let (Some(nginx), Some(haproxy)) = (counterpart::find("nginx", test), counterpart::find("haproxy", test)) else {
        return;
    };
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let (page, front) = (free_port(), free_port());
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(
        path("nginx.conf"),
        format!(
            "daemon off;\nmaster_process off;\npid {};\nerror_log /dev/null;\nevents {{}}\nhttp {{\n access_log off;\n client_body_temp_path {};\n \
             proxy_temp_path {0}p;\n fastcgi_temp_path {0}f;\n uwsgi_temp_path {0}u;\n scgi_temp_path {0}s;\n \
             server {{ listen 127.0.0.1:{page}; location = /status {{ stub_status; }} }}\n}}\n",
            path("nginx.pid"),
            path("nginx-bodies"),
        ),
    )
    .unwrap();
    std::fs::write(
        path("haproxy.cfg"),
        format!(
            "global\n stats socket {}\ndefaults\n mode http\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n\
             frontend front\n bind 127.0.0.1:{front}\n default_backend web\n\
             backend web\n server one 127.0.0.1:{page}\n server two 127.0.0.1:1 check inter 100ms fall 1\n",
            path("haproxy.sock"),
        ),
    )
    .unwrap();
    let _nginx = Program::start(Command::new(nginx).args(["-c", &path("nginx.conf"), "-e", "/dev/null"]));
    let _haproxy = Program::start(Command::new(haproxy).args(["-db", "-f", &path("haproxy.cfg")]));
    listens(page).await;
    eventually("HAProxy's socket", SOON, async || UnixStream::connect(path("haproxy.sock")).ok()).await;
    let daemon = setup
        .config(&format!(
            "[instances.\"nginx/edge\"]\nplugin = \"nginx\"\nevery = \"200ms\"\n\
             config = {{ url = \"http://127.0.0.1:{page}/status\" }}\ngrants = {{ http = [\"http://127.0.0.1:{page}\"] }}\n\
             [instances.\"haproxy-stats/edge\"]\nplugin = \"haproxy-stats\"\nevery = \"200ms\"\n\
             config = {{ socket = \"{0}\" }}\ngrants = {{ tcp = [\"unix:{0}\"] }}\n",
            path("haproxy.sock"),
        ))
        .start()
        .await;
    health(&daemon, "nginx/edge", "ok").await;
    assert!(latest(&daemon, "nginx_requests_total", "").await >= 1.0);
    let shown = health(&daemon, "haproxy-stats/edge", "degraded").await;
    assert!(shown["health"]["message"].as_str().unwrap().contains("`web/two`"), "{shown:#}");
    let labels = |server: &str| format!("&label=server={server}");
    assert_eq!(latest(&daemon, "haproxy_server_up", &labels("one")).await, 1.0);
    assert_eq!(latest(&daemon, "haproxy_server_up", &labels("two")).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_a_log_count_once_across_its_rotation_and_a_kill_of_the_host() {
    let setup = Setup::new();
    let folder = setup.folder.path().join("logs");
    std::fs::create_dir(&folder).unwrap();
    let log = folder.join("app.log");
    let write = |text: &str| {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    write("old error\n");
    let setup = setup.config(&format!(
        "[instances.\"log-tail/app\"]\nplugin = \"log-tail\"\nevery = \"200ms\"\n\
         config = {{ paths = [\"{0}/app.log\"], patterns = [{{ name = \"error\", pattern = \"error\", state = \"degraded\" }}] }}\n\
         grants = {{ files = [\"{0}/\"], kv = true }}\n",
        folder.display(),
    ));
    let daemon = setup.start().await;
    let counts = async |daemon: &Daemon, lines: f64, errors: f64| {
        eventually(&format!("{lines} lines and {errors} errors"), SOON, async || {
            let own = "label=instance=log-tail/app";
            let seen = daemon.latest(&format!("metric=log_lines_total&{own}")).await? == lines;
            let found = daemon.latest(&format!("metric=log_matches_total&{own}")).await? == errors;
            (seen && found).then_some(())
        })
        .await;
    };
    counts(&daemon, 0.0, 0.0).await;
    write("fine\nan error\nhalf a li");
    counts(&daemon, 2.0, 1.0).await;
    let shown = health(&daemon, "log-tail/app", "degraded").await;
    assert!(shown["health"]["message"].as_str().unwrap().ends_with("an error"), "{shown:#}");
    let setup = daemon.kill();
    write("ne\nlast error\n");
    std::fs::rename(&log, folder.join("app.log.1")).unwrap();
    write("first\n");
    let daemon = setup.start().await;
    counts(&daemon, 5.0, 2.0).await;
    // Links out of the folder are not followed.
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &log).unwrap();
    let shown = health(&daemon, "log-tail/app", "failed").await;
    assert!(shown["health"]["message"].as_str().unwrap().contains("leads out of the granted folder"), "{shown:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_ports_and_dependencies_are_seen_where_they_are_and_where_they_are_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (here, gone) = (listener.local_addr().unwrap().port(), free_port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.map(|mut stream| stream.write_all(b"220 ready\r\n"));
        }
    });
    let setup = Setup::new();
    let pid_file = setup.folder.path().join("own.pid");
    std::fs::write(&pid_file, format!("{}\n", std::process::id())).unwrap();
    let setup = setup.config(&format!(
        "[instances.\"process/both\"]\nplugin = \"process\"\nevery = \"200ms\"\n\
         config = {{ processes = [{{ name = \"quarterdeck\" }}, {{ name = \"test\", pid-file = \"{0}\" }}] }}\n\
         grants = {{ system = true, files = [\"{0}\"] }}\n\
         [instances.\"process/none\"]\nplugin = \"process\"\nevery = \"200ms\"\n\
         config = {{ processes = [{{ name = \"no-such-program\" }}] }}\ngrants = {{ system = true }}\n\
         [instances.\"process/units\"]\nplugin = \"process\"\nevery = \"200ms\"\n\
         config = {{ units = [\"no-such.service\"], systemctl = \"/bin/false\" }}\n\
         grants = {{ exec = [{{ program = \"/bin/false\", arguments = [\"...\"] }}] }}\n\
         [instances.\"tcp-probe/here\"]\nplugin = \"tcp-probe\"\nevery = \"200ms\"\n\
         config = {{ address = \"127.0.0.1:{here}\", expect = \"ready\" }}\ngrants = {{ tcp = [\"127.0.0.1:{here}\"] }}\n\
         [instances.\"dependency/two\"]\nplugin = \"dependency\"\nevery = \"200ms\"\n\
         grants = {{ tcp = [\"127.0.0.1:*\"] }}\n\
         config.dependencies = [{{ name = \"here\", kind = \"tcp\", target = \"127.0.0.1:{here}\" }},\n\
           {{ name = \"gone\", kind = \"tcp\", target = \"127.0.0.1:{gone}\", critical = false }}]\n",
        pid_file.display(),
    ));
    let daemon = setup.start().await;
    health(&daemon, "process/both", "ok").await;
    assert!(latest(&daemon, "process_running", "&label=process=quarterdeck").await >= 1.0);
    let shown = health(&daemon, "process/none", "failed").await;
    assert!(shown["health"]["message"].as_str().unwrap().contains("`no-such-program` does not run"), "{shown:#}");
    let shown = health(&daemon, "process/units", "failed").await;
    assert!(shown["health"]["message"].as_str().unwrap().starts_with("units can't be asked for"), "{shown:#}");
    health(&daemon, "tcp-probe/here", "ok").await;
    assert_eq!(latest(&daemon, "probe_expect_matches", "&label=instance=tcp-probe/here").await, 1.0);
    let shown = health(&daemon, "dependency/two", "degraded").await;
    assert!(shown["health"]["message"].as_str().unwrap().starts_with("`gone`: "), "{shown:#}");
}

/// Ends what a runbook has started, which belongs to nobody.
struct Started(PathBuf);

impl Drop for Started {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(&self.0) {
            let _ = Command::new("kill").args(["-9", pid.trim()]).status();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stopped_is_started_again_by_a_runbook_because_its_check_failed() {
    let test = "a_process_that_stopped_is_started_again_by_a_runbook_because_its_check_failed";
    let Some(program) = counterpart::find("redis-server", test) else { return };
    let setup = Setup::new();
    let (port, pid_file) = (free_port(), setup.folder.path().join("redis.pid"));
    let server = Program::start(&mut redis(&program, port));
    listens(port).await;
    // In a session of its own, since what a step leaves behind in its group ends with it; and done when the server has written its number.
    let script = format!(
        "setsid {} --port {port} --bind 127.0.0.1 --save '' --dir /tmp --pidfile {1} </dev/null >/dev/null 2>&1 & \
         until [ -s {1} ]; do sleep 0.1; done",
        program.display(),
        pid_file.display(),
    );
    let _started = Started(pid_file.clone());
    let daemon = setup
        .config(&format!(
            "built-ins = false\n\
             [instances.\"redis/cache\"]\nplugin = \"redis\"\nevery = \"200ms\"\nconfig = {{ address = \"127.0.0.1:{port}\" }}\n\
             grants = {{ tcp = [\"127.0.0.1:{port}\"] }}\ncheck = {{ failures = 2, cool-down = \"5m\" }}\n\
             [instances.\"command/restart\"]\nplugin = \"command\"\nconfig = {{ program = \"/bin/sh\", arguments = [\"-c\", \"{script}\"] }}\n\
             grants = {{ exec = [{{ program = \"/bin/sh\", arguments = [\"-c\", \"*\"] }}] }}\n\
             [runbooks.restart]\ntitle = \"Start the cache again\"\n\
             on = [{{ event = \"check.failed\", where = {{ instance = \"redis/cache\" }} }}]\n\
             steps = [{{ name = \"start\", action = \"command/restart\" }}]\n"
        ))
        .start()
        .await;
    let shown = health(&daemon, "redis/cache", "ok").await;
    assert_eq!(shown["health"]["check"]["phase"], "passing", "{shown:#}");
    assert_eq!(shown["health"]["check"]["runs"], json!([]), "{shown:#}");
    drop(server);
    let shown = eventually("the cache is well again", SOON, async || {
        let shown = daemon.get("/api/v1/instances/redis/cache").await;
        let check = &shown["health"]["check"];
        (check["phase"] == "passing" && check["runs"][0]["state"] == "succeeded").then_some(shown)
    })
    .await;
    let check = &shown["health"]["check"];
    assert_eq!((&check["runs"][0]["runbook"], &check["attempts"]), (&json!("restart"), &json!(1)), "{shown:#}");
    assert!(check["next_attempt"].is_string(), "{shown:#}");
    assert!(pid_file.is_file(), "it is the runbook's server that answers");
    let told: Vec<Value> = daemon.items("/api/v1/events?type=check.").await;
    let types: Vec<&str> = told.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types.iter().filter(|told| **told == "check.failed").count(), 1, "{told:#?}");
    assert!(types.contains(&"check.recovered"), "{told:#?}");
    let runs = daemon.items("/api/v1/runs").await;
    assert_eq!(runs.len(), 1, "{runs:#?}");
    assert_eq!(runs[0]["cause"], "redis/cache");
}
