//! The command line, as people and scripts use it.

use crate::authoring::{AT_WORK, author};
use crate::harness::daemon::BINARY;
use crate::harness::guest::{bundled, variant};
use crate::harness::receiver::Receiver as Target;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn every_noun_can_be_listed_and_shown_as_a_table_and_as_json() {
    let daemon = Setup::new().start().await;
    let run = daemon.command_line(&["runbook", "run", "system-health-check", "--dry-run", "--detach"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let run = text(&run.stdout).trim().to_owned();
    let scan = daemon.command_line(&["scan", "default", "--json"]);
    let scan: Value = serde_json::from_slice(&scan.stdout).unwrap();
    let lists: [&[&str]; 21] = [
        &["plugin", "list"],
        &["instance", "list"],
        &["job", "list"],
        &["metric", "list"],
        &["events", "list"],
        &["alert", "list"],
        &["silence", "list"],
        &["silence", "windows"],
        &["incident", "list"],
        &["findings"],
        &["findings", "--scan", "default", "--severity", "high", "--all"],
        &["config", "versions"],
        &["scan", "list"],
        &["deployment", "list"],
        &["service", "list"],
        &["notification", "list"],
        &["dead-letter", "list"],
        &["runbook", "list"],
        &["runbook", "runs"],
        &["slo", "list"],
        &["session", "list"],
    ];
    let shown: [&[&str]; 8] = [
        &["status"],
        &["plugin", "show", "http-probe"],
        &["instance", "show", "http-probe/self"],
        &["job", "show", "collect/system/local"],
        &["scan", "show", scan["scan"]["id"].as_str().unwrap()],
        &["runbook", "show", "system-health-check"],
        &["runbook", "show-run", &run],
        &["metric", "push", "from_a_script", "4.5", "--label", "job=backup"],
    ];
    for (arguments, array) in lists.iter().map(|list| (list, true)).chain(shown.iter().map(|one| (one, false))) {
        let table = daemon.command_line(arguments);
        assert!(table.status.success(), "{arguments:?}: {}", text(&table.stderr));
        assert!(!table.stdout.is_empty(), "{arguments:?}");
        let people = text(&table.stdout);
        assert!(
            !people.contains("{\"") && !people.contains("[{") && !people.contains("\":"),
            "{arguments:?}: {people}"
        );
        let json = daemon.command_line(&[arguments, &["--json"][..]].concat());
        let value: Value =
            serde_json::from_slice(&json.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert_eq!(value.is_array(), array, "{arguments:?}: {value}");
        assert!(array || value.is_object(), "{arguments:?}: {value}");
    }
    let runbooks = text(&daemon.command_line(&["runbook", "list"]).stdout);
    assert!(runbooks.contains("System health check"), "its title: {runbooks}");
    let latest = daemon.command_line(&["metric", "latest", "from_a_script", "--json"]);
    let latest: Value = serde_json::from_slice(&latest.stdout).unwrap();
    assert_eq!((&latest[0]["value"], &latest[0]["labels"]["job"]), (&json!(4.5), &json!("backup")));
    assert!(text(&daemon.command_line(&["metric", "range", "from_a_script"]).stdout).contains("4.5"));
    for value in ["NaN", "+Inf", "-Inf"] {
        let pushed =
            daemon.command_line(&["metric", "push", "without_a_number", value, "--label", &format!("is={value}")]);
        assert!(text(&pushed.stdout).contains(&format!("without_a_number = {value} is kept")), "{pushed:?}");
        let kept = text(&daemon.command_line(&["query", &format!("without_a_number{{is=\"{value}\"}}")]).stdout);
        assert_eq!(kept.matches(value).count(), 2, "{kept}");
    }
    let refused = daemon.command_line(&["metric", "push", "without_a_number", "1e999"]);
    assert!(text(&refused.stderr).contains("or one of `NaN`, `+Inf`, `-Inf`"), "{refused:?}");
    let found = text(&daemon.command_line(&["query", "from_a_script * 2"]).stdout);
    assert!(found.contains("{job=\"backup\"}") && found.contains('9'), "{found}");
    let over_time = text(&daemon.command_line(&["query", "from_a_script", "--since", "1m", "--step", "5s"]).stdout);
    assert!(over_time.contains("from_a_script{job=\"backup\"}") && over_time.contains("4.5"), "{over_time}");
    let wrong = daemon.command_line(&["query", "sum("]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("parse error"), "{}", text(&wrong.stderr));
    for nothing in [["alert", "show"], ["slo", "show"], ["service", "show"], ["dead-letter", "show"], ["job", "show"]] {
        let output = daemon.command_line(&[nothing[0], nothing[1], "nothing/here"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("there is no `nothing/here`"), "{nothing:?}: {}", text(&output.stderr));
    }
}

#[tokio::test]
async fn a_browser_that_is_signed_in_is_listed_and_signed_out() {
    let daemon = Setup::new().start().await;
    let browser = reqwest::Client::builder().user_agent("A browser/1").redirect(reqwest::redirect::Policy::none());
    let browser = browser.build().unwrap();
    let printed = |arguments: &[&str]| text(&daemon.command_line(arguments).stdout);
    let sign_in = async || {
        let link = printed(&["console"]);
        let (address, code) = link.trim().split_once("?code=").unwrap();
        let form = browser.post(address).header("Content-Type", "application/x-www-form-urlencoded");
        let answer = form.body(format!("code={code}")).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    };
    let is_in = async |cookie: &str| {
        let page = browser.get(format!("{}/console", daemon.url)).header("Cookie", cookie).send().await.unwrap();
        page.text().await.unwrap().contains("Sign out")
    };
    let cookies = [sign_in().await, sign_in().await, sign_in().await];
    let listed: Value = serde_json::from_str(&printed(&["session", "list", "--json"])).unwrap();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["agent"]), (3, &json!("A browser/1")));
    assert_eq!(listed[0]["from"], "127.0.0.1");
    let id = |index: usize| listed[index]["id"].as_str().unwrap();
    assert_eq!(printed(&["session", "end", id(0)]), format!("session {} is over\n", id(0)));
    assert_eq!(daemon.command_line(&["session", "end", id(0)]).status.code(), Some(1));
    assert_eq!(printed(&["session", "end", "--all", "--except", id(1)]), "1 session is over\n");
    let mut left = 0;
    for cookie in &cookies {
        left += usize::from(is_in(cookie).await);
    }
    assert_eq!(left, 1);
    assert_eq!(printed(&["session", "end", "--all"]), "1 session is over\n");
    assert!(!is_in(&cookies[0]).await && !is_in(&cookies[1]).await && !is_in(&cookies[2]).await);
}

#[tokio::test]
async fn a_list_that_is_cut_says_how_much_is_left() {
    let daemon = Setup::new().start().await;
    for _ in 0..3 {
        let run = daemon.command_line(&["runbook", "run", "system-health-check", "--dry-run"]);
        assert!(run.status.success(), "{}", text(&run.stderr));
    }
    let all = daemon.command_line(&["runbook", "runs"]);
    assert!(!text(&all.stderr).contains("more"), "{}", text(&all.stderr));
    let cut = daemon.command_line(&["runbook", "runs", "--limit", "1", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&cut.stdout).unwrap().as_array().unwrap().len(), 1);
    assert_eq!(text(&cut.stderr), "... and 2 more; hint: --limit\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_with_its_reason_where_people_look_first() {
    let hook = Target::start().await;
    let url = hook.url();
    let setup = Setup::new().config(&format!(
        "[secrets]\nhook-key = {{ file = \"/nowhere/at/all\" }}\n\
         [instances.\"webhook/team\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{url}/hook\", secret = \"hook-key\" }}\n\
         grants = {{ http = [\"{url}\"], secret = [\"hook-key\"] }}\n\
         [routes.team]\nevents = [\"custom\"]\nnotify = [\"webhook/team\"]\n\
         [instances.\"http-probe/gone\"]\nplugin = \"http-probe\"\nevery = \"1s\"\n\
         config = {{ url = \"http://127.0.0.1:1/\" }}\ngrants.http = [\"http://127.0.0.1:1\"]\n\
         [rules.gone]\ndetector = \"threshold/default\"\nevery = \"1s\"\n\
         select = {{ metric = \"probe_success\", labels = {{ instance = \"http-probe/gone\" }} }}\n\
         config = {{ direction = \"below\", raise = 1.0, severity = \"low\" }}\n\
         [instances.\"command/say\"]\nplugin = \"command\"\n\
         grants.exec = [{{ program = \"/bin/echo\", arguments = [\"...\"] }}]\n\
         [runbooks.say]\ntitle = \"Say it\"\n[[runbooks.say.steps]]\nname = \"say\"\naction = \"command/say\"\n\
         with = {{ program = \"/bin/echo\", arguments = [\"a word to the wise\"] }}\n"
    ));
    let daemon = setup.start().await;
    let printed = |arguments: &[&str]| text(&daemon.command_line(arguments).stdout);
    let event = json!({"type": "custom.page", "subject": "s", "data": {"title": "wake up"}});
    daemon.post("/api/v1/events", &event).await;
    let told = eventually("a failed try", SOON, async || {
        daemon.items("/api/v1/notifications").await.into_iter().find(|told| told["attempts"].as_u64() > Some(0))
    })
    .await;
    assert_eq!(told["state"], "pending", "it is tried again: {told:#}");
    assert!(told["error"].as_str().unwrap().contains("hook-key"), "{told:#}");
    assert!(daemon.log().contains("an effect could not be carried out; it is tried again"), "{}", daemon.log());
    let alert = eventually("the alert", Duration::from_secs(60), async || {
        daemon.items("/api/v1/alerts?state=firing").await.into_iter().find(|alert| alert["rule"] == "gone")
    })
    .await;
    let status = printed(&["status"]);
    for trouble in ["need attention", "alert gone fires (low)", "the target of http-probe/gone is failed: ", "hook-key"]
    {
        assert!(status.contains(trouble), "{trouble}: {status}");
    }
    let instances = printed(&["instance", "list"]);
    let why = daemon.get("/api/v1/instances/http-probe/gone").await["health"]["message"].as_str().unwrap().to_owned();
    assert!(!why.is_empty() && instances.contains(&why), "{why}: {instances}");
    let shown = printed(&["alert", "show", alert["fingerprint"].as_str().unwrap()]);
    assert!(shown.contains("health.state") && shown.contains("failed"), "{shown}");
    let run = printed(&["runbook", "run", "say"]);
    assert!(run.contains("stdout: a word to the wise") && run.contains("exit_code: 0"), "{run}");
    assert!(!run.contains("PLAN"), "{run}");
    let events = printed(&["events", "list", "--limit", "500"]);
    assert!(events.contains("wake up") && !events.contains(" audit."), "{events}");
    assert!(printed(&["events", "list", "--limit", "500", "--all"]).contains(" audit."));
    assert!(printed(&["events", "list", "--type", "audit"]).contains(" audit."));
    let none = daemon.command_line(&["process", "logs", "haproxy/web", "s1"]);
    assert!(text(&none.stderr).contains("there is no `haproxy/web/s1`"), "the token was sent: {}", text(&none.stderr));
}

#[tokio::test]
async fn what_a_terminal_would_obey_is_shown_instead() {
    let daemon = Setup::new().start().await;
    let event = json!({"type": "custom.a", "subject": "\u{1b}[2J\u{7}\nx", "data": {}});
    daemon.post("/api/v1/events", &event).await;
    let listed = text(&daemon.command_line(&["events", "list", "--type", "custom"]).stdout);
    assert!(listed.contains("\\u{1b}[2J\\u{7}\\nx"), "{listed}");
    assert!(!listed.contains('\u{1b}') && !listed.contains('\u{7}'), "{listed:?}");
}

#[tokio::test]
async fn errors_and_mistakes_in_the_configuration_come_as_json_for_tools() {
    let daemon = Setup::new().start().await;
    let output = daemon.command_line(&["incident", "show", "inc_none", "--json"]);
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &error["problem"]["status"]), (Some(1), &json!(404)), "{error:#}");
    let output = daemon.command_line(&["status", "--json", "--url", "http://127.0.0.1:1"]);
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(error["error"].as_str().unwrap().contains("failed to reach") && error["problem"].is_null(), "{error:#}");
    let setup = Setup::new();
    let good = setup.run(&["config", "check", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&good.stdout).unwrap()["valid"], true);
    setup.write("quarterdeck.toml", "[storage]\nkeep-events = 5\nkep-samples = \"1d\"\n");
    let bad = setup.run(&["config", "check", "--json"]);
    let mistakes: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((bad.status.code(), &mistakes["valid"]), (Some(1), &json!(false)));
    assert_eq!(mistakes["problems"][0]["place"]["line"], 2, "{mistakes:#}");
    assert!(mistakes["problems"][0]["place"]["file"].as_str().unwrap().ends_with("quarterdeck.toml"));
}

#[tokio::test]
async fn config_check_says_what_plugins_and_readers_of_queries_see_beside_what_the_schema_does() {
    let setup = Setup::new();
    let main = "[storage]\nkep-samples = \"1d\"\n\n[instances.\"http-probe/shop\"]\nplugin = \"http-probe\"\nconfig = { url = 7 }\n\n\
        [instances.\"http-probe/other\"]\nplugin = 8\n";
    setup.write("quarterdeck.toml", main);
    setup.write("rules/own.yml", "groups:\n- name: own\n  rules:\n  - {record: 'a:b', expr: 'sum('}\n");
    let checked = setup.run(&["config", "check", "--json"]);
    let answer: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((checked.status.code(), &answer["valid"]), (Some(1), &json!(false)));
    let pointers: Vec<&str> =
        answer["problems"].as_array().unwrap().iter().map(|problem| problem["pointer"].as_str().unwrap()).collect();
    for part in [
        "/storage/kep-samples",
        "/instances/http-probe~1shop/config",
        "/instances/http-probe~1other/plugin",
        "/rule-groups/",
    ] {
        assert!(pointers.iter().any(|pointer| pointer.starts_with(part)), "{part}: {answer:#}");
    }
}

/// Lines as they come, until nobody wants them any more: then the pipe is closed.
fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Ended with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_tail_goes_on_without_a_gap_when_the_daemon_is_started_anew_and_ends_when_nobody_reads() {
    const SOON: Duration = Duration::from_secs(60);
    let daemon = Setup::new().start().await;
    let told = daemon.setup.folder.path().join("tail-stderr");
    let mut command = daemon.setup.command(&["events", "tail", "--type", "custom", "--json"]);
    let mut tail = Ended(command.stdout(Stdio::piped()).stderr(File::create(&told).unwrap()).spawn().unwrap());
    let lines = lines(&mut tail.0);
    let publish = async |daemon: &Daemon, subject: &str| {
        daemon.post("/api/v1/events", &json!({"type": "custom.test", "subject": subject})).await;
    };
    let subject = |line: &str| serde_json::from_str::<Value>(line).unwrap()["subject"].as_str().unwrap().to_owned();
    // It is there once it shows something.
    eventually("the tail's first line", SOON, async || {
        publish(&daemon, "before").await;
        lines.try_recv().ok()
    })
    .await;
    publish(&daemon, "last").await;
    while subject(&lines.recv_timeout(SOON).unwrap()) != "last" {}
    // Killed, and at another port afterwards. What is published before the tail is back must not be missed.
    let daemon = daemon.kill().start().await;
    for number in 0..5 {
        publish(&daemon, &number.to_string()).await;
    }
    let seen: Vec<String> = (0..5).map(|_| subject(&lines.recv_timeout(SOON).unwrap())).collect();
    assert_eq!(seen, ["0", "1", "2", "3", "4"]);
    let said = std::fs::read_to_string(&told).unwrap();
    assert!(said.contains("the stream ended; connecting again") && said.contains("connected again, behind"), "{said}");
    drop(lines);
    let status = eventually("the tail's end", SOON, async || {
        publish(&daemon, "nobody reads").await;
        tail.0.try_wait().unwrap()
    })
    .await;
    assert!(status.success(), "{status}: {}", std::fs::read_to_string(&told).unwrap());
    assert!(!std::fs::read_to_string(&told).unwrap().contains("panicked"));
}

#[test]
fn completions_into_a_closed_pipe_are_no_defect() {
    let mut command = Setup::new().command(&["completions", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_kept_back_from_reads_and_sent_with_changes() {
    let other = crate::harness::receiver::Receiver::start().await;
    let setup = Setup::new();
    std::fs::create_dir_all(setup.data_dir()).unwrap();
    std::fs::write(setup.data_dir().join("token"), "the-token").unwrap();
    let url = other.url();
    setup.run(&["status", "--url", &url]);
    setup.run(&["events", "tail", "--url", &url]);
    setup.run(&["plugin", "reload", "--url", &url]);
    let received = other.received();
    let given: Vec<_> =
        received.iter().map(|request| (request.path.as_str(), request.header("authorization"))).collect();
    let expected = [("/api/v1/status", ""), ("/api/v1/events", ""), ("/api/v1/plugins/reload", "Bearer the-token")];
    assert_eq!(given, expected);
}

/// The lines of code blocks, and what stands between single ticks, that call this program.
fn home() -> PathBuf {
    std::env::var_os("HOME").map(PathBuf::from).unwrap()
}

fn commands_of_the_readme() -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let lines = readme.lines().filter(|line| line.starts_with("target/release/quarterdeck ")).map(str::to_owned);
    let inline =
        readme.split('`').skip(1).step_by(2).filter(|code| code.starts_with("quarterdeck ")).map(str::to_owned);
    lines.chain(inline).collect()
}

#[tokio::test]
async fn the_commands_of_the_readme_work_as_they_stand_there() {
    let _turn = AT_WORK.lock().await;
    let author = author();
    let daemon = Setup::new().start().await;
    for metric in ["cpu_usage_percent", "probe_success", "disk_used_percent"] {
        eventually(metric, Duration::from_secs(60), async || daemon.latest(&format!("metric={metric}")).await).await;
    }
    // As in the repository, and as installed; with a home folder of its own.
    let place = daemon.setup.folder.path().join("repository");
    std::fs::create_dir_all(place.join("target/release")).unwrap();
    std::os::unix::fs::symlink(BINARY, place.join("target/release/quarterdeck")).unwrap();
    // The files that some of the commands name.
    let rule =
        "detector = \"threshold/default\"\nselect = { metric = \"cpu_usage_percent\" }\nconfig = { raise = 97.0 }\n";
    std::fs::write(place.join("rule.toml"), rule).unwrap();
    std::fs::write(place.join("new.wasm"), variant(&bundled("threshold"), 1)).unwrap();
    // For the author of a plugin: this toolchain, with what was fetched for it already.
    let cargo = Path::new(env!("CARGO")).parent().unwrap().to_owned();
    let path = std::env::join_paths([place.join("target/release"), cargo, "/usr/bin".into(), "/bin".into()]).unwrap();
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| home().join(".cargo"), PathBuf::from);
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock").canonicalize().unwrap();
    std::fs::copy(lock, place.join("Cargo.lock")).unwrap();
    let commands = commands_of_the_readme();
    assert!(commands.len() >= 9, "{commands:#?}");
    for written in commands {
        let (said, fails_with) = match written.as_str() {
            "target/release/quarterdeck events tail" => {
                ("timeout 5 target/release/quarterdeck events tail --after 0", None)
            }
            "quarterdeck init" => ("env -u QUARTERDECK_CONFIG_DIR -u XDG_CONFIG_HOME quarterdeck init", None),
            "quarterdeck plugin new wave --kind collector" => {
                ("quarterdeck plugin new wave --kind collector && cp Cargo.lock wave/", None)
            }
            "quarterdeck plugin test wave" => {
                ("quarterdeck plugin test wave && cp \"$CARGO_TARGET_DIR\"/wasm32-wasip2/release/wave.wasm .", None)
            }
            "quarterdeck plugin grant wave/first" => {
                ("quarterdeck plugin grant wave/first", Some("there is no `wave/first`"))
            }
            "quarterdeck plugin rollback wave" => {
                ("quarterdeck plugin rollback wave", Some("there is no earlier version of `wave`"))
            }
            "quarterdeck plugin config wave/first amplitude=3" => {
                ("quarterdeck plugin config wave/first amplitude=3", Some("there is no `wave/first`"))
            }
            "quarterdeck rules check <file>" => (
                concat!("quarterdeck rules check ", env!("CARGO_MANIFEST_DIR"), "/../engines/tests/rules/alerts.yml"),
                None,
            ),
            "quarterdeck plugin install --locked plugins.lock" => (
                "cp \"$QUARTERDECK_DATA_DIR\"/plugins.lock . && quarterdeck plugin install --locked plugins.lock",
                None,
            ),
            "quarterdeck plugin replay threshold --with new.wasm" => {
                ("quarterdeck plugin replay threshold --with new.wasm", Some("no decision of `threshold` is kept"))
            }
            "quarterdeck deploy <name> <revision>" => {
                ("quarterdeck deploy shop r2", Some("there is no service `shop`"))
            }
            whole => (whole, None),
        };
        assert!(!said.contains('<'), "nobody can run `{said}`");
        let mut command = daemon.setup.command(&[]);
        let mut shell = Command::new("sh");
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        shell.env("PATH", &path).env("HOME", daemon.setup.folder.path()).env("CARGO_HOME", &cargo_home);
        shell.envs(author.variables.iter().map(|(name, value)| (name, value))).current_dir(&place);
        command = shell;
        let output = command.args(["-c", said]).stdin(Stdio::null()).output().unwrap();
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        match (fails_with, output.status.code()) {
            (Some(reason), code) => assert!(code == Some(1) && errors.contains(reason), "{written}: {errors}"),
            // Ended by `timeout`, which is what it takes.
            (None, Some(124)) if said.starts_with("timeout ") => assert!(printed.lines().count() > 3, "{printed}"),
            // A machine that is busy is not well, and the check says with which figure.
            (None, Some(1)) if said.contains("runbook run") => {
                assert!(printed.contains("run_") && printed.contains("usage"), "{printed} {errors}");
            }
            (None, code) => assert!(code == Some(0) && !printed.is_empty(), "{written}: {code:?} {printed} {errors}"),
        }
    }
}

#[test]
fn without_a_daemon_the_error_says_how_to_start_one() {
    let setup = Setup::new();
    let output = setup.run(&["status", "--url", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("hint: start it with `quarterdeck run`"), "{}", text(&output.stderr));
}

#[test]
fn completions_are_printed_for_every_shell() {
    let setup = Setup::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = setup.run(&["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("quarterdeck"), "{shell}");
    }
}

#[test]
fn init_writes_a_configuration_that_is_valid_and_is_not_written_over() {
    let setup = Setup::new();
    let folder = setup.folder.path().join("fresh");
    let folder = folder.to_str().unwrap();
    let own = setup.data_dir().join("config/rules");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("own.toml"), "").unwrap();
    std::fs::create_dir_all(setup.data_dir().join("plugins")).unwrap();
    std::fs::write(setup.data_dir().join("plugins/own.wasm"), "").unwrap();
    let output = setup.run(&["init", folder]);
    assert!(output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("data/config is not read"), "the set-up before is told of: {said}");
    assert!(!said.contains("data/plugins"), "its plugins stay in use: {said}");
    let check = setup.run(&["config", "check", "--config-dir", folder]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    let again = setup.run(&["init", folder]);
    assert!(!again.status.success() && text(&again.stderr).contains("is there already"));
}

#[test]
fn init_without_a_folder_writes_where_the_daemon_looks_and_the_overlays_that_the_file_speaks_of() {
    let setup = Setup::new();
    let output = setup.run(&["init"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("start with: quarterdeck run\n"), "{}", text(&output.stdout));
    assert!(setup.config_dir().join("quarterdeck.toml").is_file());
    let check = setup.run(&["config", "check", "--environment", "production"]);
    assert!(text(&check.stdout).contains("(2 files)"), "{} {}", text(&check.stdout), text(&check.stderr));
    let home = setup.folder.path().join("home");
    let mut command = setup.command(&["init"]);
    let output = command.env_remove("QUARTERDECK_CONFIG_DIR").env("XDG_CONFIG_HOME", &home).output().unwrap();
    assert!(output.status.success() && home.join("quarterdeck/quarterdeck.toml").is_file(), "{}", text(&output.stderr));
    let named = setup.folder.path().join("named");
    let output = setup.run(&["init", "--config-dir", named.to_str().unwrap()]);
    assert!(named.join("environments/development.toml").is_file(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("run --config-dir"), "{}", text(&output.stdout));
}

#[test]
fn whoever_wants_json_gets_it_for_mistakes_and_for_a_new_configuration_too() {
    let setup = Setup::new();
    let error = |arguments: &[&str], code: i32| {
        let output = setup.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let error: Value = serde_json::from_slice(&output.stderr)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}", text(&output.stderr)));
        assert!(error["problem"].is_null(), "{error}");
        error["error"].as_str().unwrap().to_owned()
    };
    assert!(error(&["--json", "alert", "list", "--limit", "0"], 2).contains("expected a whole number of 1 or more"));
    assert!(error(&["nope", "--json"], 2).starts_with("unrecognized subcommand 'nope'"));
    let help = setup.run(&["alert", "--help", "--json"]);
    assert!(help.status.success() && text(&help.stdout).contains("Usage:"));

    let folder = setup.folder.path().join("made");
    let made = setup.run(&["init", folder.to_str().unwrap(), "--json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(made["folder"], folder.to_str().unwrap());
    assert!(made["written"].as_array().unwrap().len() > 1 && made["warnings"].is_array(), "{made}");
    assert!(made["start"].as_str().unwrap().starts_with("quarterdeck run --config-dir"), "{made}");

    std::fs::write(folder.join("quarterdeck.toml"), "nope = 1\n").unwrap();
    let said = error(&["run", "--json", "--config-dir", folder.to_str().unwrap()], 2);
    assert!(said.contains("nope") && said.contains("quarterdeck.toml:1:1"), "{said}");
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_not_there() {
    let daemon = Setup::new().start().await;
    for (arguments, expected) in [
        (&["process", "logs", "nope", "x"][..], "error: there is no instance `nope`; hint: names are `plugin/name`"),
        (&["deploy", "nope", "r2"], "error: there is no service `nope`; hint: `quarterdeck service list`"),
        (&["silence", "expire", "nope"], "error: there is no `nope` in `silences`; hint: "),
        (&["instance", "show", "nope"], "error: there is no instance `nope`; hint: names are `plugin/name`"),
        (&["config", "objects", "rule"], "there is no section `rule`; hint: did you mean `rules`?"),
    ] {
        let output = daemon.command_line(arguments);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.starts_with("error: ") && said.contains(expected), "{said}");
    }
    let output = daemon.command_line(&["events", "list", "--type", "nonsense"]);
    assert_eq!(text(&output.stdout), "no events of the type `nonsense`\n");
    daemon.setup.write("quarterdeck.toml", "[strage]\n");
    let said = text(&daemon.command_line(&["config", "check"]).stderr);
    assert!(said.starts_with("error: ") && said.contains("did you mean `storage`?"), "{said}");
}

#[tokio::test]
async fn a_change_without_the_token_is_refused_with_a_hint() {
    let daemon = Setup::new().start().await;
    let empty = daemon.setup.folder.path().join("no-token");
    std::fs::write(&empty, "wrong").unwrap();
    let output = daemon.command_line(&["plugin", "reload", "--token-file", empty.to_str().unwrap()]);
    assert!(!output.status.success() && text(&output.stderr).contains("hint:"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_was_given_up_on_is_an_alert_and_is_sent_again_by_hand_with_the_key_that_it_had() {
    let (pager, chat) = (Target::start().await, Target::start().await);
    pager.answer(410);
    let webhook = |name: &str, to: &Target| {
        format!(
            "[instances.\"webhook/{name}\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{0}/hook\" }}\ngrants = {{ http = [\"{0}\"] }}\n",
            to.url()
        )
    };
    let setup = Setup::new().config(&format!(
        "{}{}[routes.pages]\nevents = [\"custom\"]\nnotify = [\"webhook/pager\"]\n\
         [routes.undelivered]\nevents = [\"notification.failed\"]\nnotify = [\"webhook/pager\", \"webhook/chat\"]\n\
         [rules.dead-letters]\nevery = \"200ms\"\n",
        webhook("pager", &pager),
        webhook("chat", &chat),
    ));
    let daemon = setup.start().await;
    daemon.post("/api/v1/events", &json!({"type": "custom.page", "subject": "s", "data": {"title": "wake up"}})).await;
    let letter = eventually("the dead letter", SOON, async || daemon.items("/api/v1/dead-letters").await.pop()).await;
    let told = eventually("word of it", SOON, async || chat.received().pop()).await;
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    assert!(told.to_string().contains("[NOT DELIVERED] webhook/pager: [custom.page] wake up"), "{told:#}");
    let alert = eventually("the alert", Duration::from_secs(60), async || {
        daemon.items("/api/v1/alerts").await.into_iter().find(|alert| alert["rule"] == "dead-letters")
    })
    .await;
    assert_eq!((&alert["state"], &alert["severity"]), (&json!("firing"), &json!("high")), "{alert:#}");
    pager.answer(200);
    let id = letter["id"].as_str().unwrap();
    let retried = daemon.command_line(&["dead-letter", "retry", id]);
    assert!(retried.status.success(), "{}", text(&retried.stderr));
    assert_eq!(text(&retried.stdout).trim(), format!("{id} is carried out again"));
    eventually("the delivery", SOON, async || {
        let notifications = daemon.items("/api/v1/notifications").await;
        notifications.into_iter().find(|told| told["id"] == id && told["state"] == "delivered")
    })
    .await;
    let keys: Vec<_> = pager.received().iter().map(|sent| sent.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys, [id, id]);
    assert!(daemon.items("/api/v1/dead-letters").await.is_empty());
    let once_more = daemon.command_line(&["dead-letter", "retry", id]);
    assert_eq!(once_more.status.code(), Some(1));
}
