//! Runbooks over real programs and targets.

use crate::harness::receiver::Receiver;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

async fn ended(daemon: &Daemon, id: &str) -> Value {
    eventually("the run's end", SOON, async || {
        let run = daemon.get(&format!("/api/v1/runs/{id}")).await;
        run["finished_at"].is_string().then_some(run)
    })
    .await
}

async fn start(daemon: &Daemon, runbook: &str) -> String {
    let run = daemon.post("/api/v1/runs", &json!({"runbook": runbook})).await;
    run["id"].as_str().unwrap().to_owned()
}

/// The number that the program has written there.
async fn pid(file: &Path) -> String {
    eventually("the program's number", SOON, async || {
        std::fs::read_to_string(file).ok().filter(|text| text.ends_with('\n')).map(|text| text.trim().to_owned())
    })
    .await
}

async fn until_gone(pid: &str) {
    eventually("the program's end", SOON, async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        let runs = stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])));
        (!runs).then_some(())
    })
    .await;
}

/// Runs scripts, with less time for a call than they take.
const SHELL: &str = "[instances.\"command/shell\"]\nplugin = \"command\"\nlimits = { deadline = \"500ms\" }\n\
    config = { program = \"/bin/sh\" }\ngrants = { exec = [{ program = \"/bin/sh\", arguments = [\"-c\", \"*\"] }] }\n";

fn runbook(name: &str, timeout: &str, script: &str) -> String {
    format!(
        "[runbooks.{name}]\ntitle = \"{name}\"\nsteps = [{{ name = \"only\", action = \"command/shell\", timeout = \"{timeout}\", \
         with = {{ arguments = [\"-c\", \"{script}\"] }} }}]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_may_take_as_long_as_its_step_and_its_output_is_kept() {
    let setup = Setup::new().config(&format!(
        "built-ins = false\n{SHELL}{}{}{}",
        runbook("slow", "30s", "echo begun; sleep 2; echo done >&2"),
        runbook("too-slow", "2s", "sleep 300"),
        runbook("fails", "30s", "echo no room >&2; exit 3"),
    ));
    let daemon = setup.start().await;
    let (slow, too_slow, fails) =
        (start(&daemon, "slow").await, start(&daemon, "too-slow").await, start(&daemon, "fails").await);
    let run = ended(&daemon, &slow).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let outputs = &run["steps"][0]["outputs"];
    assert_eq!(
        (&outputs["exit_code"], &outputs["stdout"], &outputs["stderr"]),
        (&json!(0), &json!("begun\n"), &json!("done\n"))
    );
    let run = ended(&daemon, &too_slow).await;
    assert_eq!(run["state"], "failed", "{run:#}");
    assert_eq!(run["steps"][0]["state"], "unknown", "what it did up to its end is not known: {run:#}");
    assert!(run["steps"][0]["error"].as_str().unwrap().contains("was killed"), "the program's end is known: {run:#}");
    let run = ended(&daemon, &fails).await;
    assert!(run["error"].as_str().unwrap().contains("exit code 3"), "{run:#}");
    assert!(run["error"].as_str().unwrap().ends_with("no room"), "{run:#}");
    assert_eq!(daemon.get("/api/v1/instances/command/shell").await["state"], "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_gets_the_variables_that_its_grant_names_and_a_grant_of_its_arguments_is_none_of_other_programs() {
    let setup = Setup::new();
    let archive = setup.folder.path().join("x.tar");
    let step = |name: &str, action: &str, variables: &str| {
        format!(
            "[runbooks.{name}]\ntitle = \"{name}\"\nsteps = [{{ name = \"only\", action = \"command/{action}\", \
             with = {{ environment = {{ {variables} }} }} }}]\n"
        )
    };
    let setup = setup.config(&format!(
        "built-ins = false\n\
         [instances.\"command/tar\"]\nplugin = \"command\"\nconfig = {{ program = \"/bin/tar\", arguments = {arguments} }}\n\
         grants = {{ exec = [{{ program = \"/bin/tar\", arguments = {arguments} }}] }}\n\
         [instances.\"command/say\"]\nplugin = \"command\"\n\
         config = {{ program = \"/bin/sh\", arguments = [\"-c\", \"echo $GREETING\"] }}\n\
         grants = {{ exec = [{{ program = \"/bin/sh\", arguments = [\"-c\", \"echo $GREETING\"], environment = [\"GREETING\"] }}] }}\n{}{}{}{}",
        step("other-code", "tar", "TAR_OPTIONS = \"--checkpoint=1 --checkpoint-action=exec=id\""),
        step("other-files", "tar", "HOME = \"/tmp\""),
        step("plain", "tar", ""),
        step("granted", "say", "GREETING = \"hello\""),
        arguments = format!("[\"-cf\", \"{}\", \"/etc/hostname\"]", archive.display()),
    ));
    let daemon = setup.start().await;
    for (runbook, said) in [
        ("other-code", "`TAR_OPTIONS` can make a program run other code"),
        ("other-files", "`/bin/tar` is not granted with the variable `HOME`; hint: add [\"HOME\"] to `environment`"),
    ] {
        let run = ended(&daemon, &start(&daemon, runbook).await).await;
        assert_eq!(run["state"], "failed", "{run:#}");
        assert!(run["error"].as_str().unwrap().contains(said), "{run:#}");
        assert!(!archive.exists(), "it did not even begin");
    }
    let run = ended(&daemon, &start(&daemon, "plain").await).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let run = ended(&daemon, &start(&daemon, "granted").await).await;
    assert_eq!(
        (&run["state"], &run["steps"][0]["outputs"]["stdout"]),
        (&json!("succeeded"), &json!("hello\n")),
        "{run:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_ends_with_its_run_and_with_the_host() {
    let setup = Setup::new();
    let file = setup.folder.path().join("pid");
    let script = format!("echo $$ > {}; sleep 300", file.display());
    let setup = setup.config(&format!("built-ins = false\n{SHELL}{}", runbook("long", "10m", &script)));
    let daemon = setup.start().await;
    let run = start(&daemon, "long").await;
    let cancelled = pid(&file).await;
    daemon.post(&format!("/api/v1/runs/{run}/cancel"), &json!({})).await;
    until_gone(&cancelled).await;
    assert_eq!(ended(&daemon, &run).await["state"], "cancelled");

    std::fs::remove_file(&file).unwrap();
    let run = start(&daemon, "long").await;
    let stopped = pid(&file).await;
    let (setup, took, well) = daemon.stop();
    assert!(well && took < Duration::from_secs(5), "took {took:?}\n{}", setup.log());
    until_gone(&stopped).await;
    let daemon = setup.start().await;
    let run = ended(&daemon, &run).await;
    assert_eq!((&run["state"], &run["steps"][0]["state"]), (&json!("failed"), &json!("unknown")), "{run:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_down_starts_the_runbook_of_its_incident_with_the_target_as_input() {
    let (shop, other) = (Receiver::start().await, Receiver::start().await);
    let probe = |name: &str, target: &Receiver| {
        format!(
            "[instances.\"http-probe/{name}\"]\nplugin = \"http-probe\"\nevery = \"100ms\"\nconfig = {{ url = \"{0}/\" }}\n\
             grants = {{ http = [\"{0}\"] }}\n",
            target.url()
        )
    };
    let setup = Setup::new().config(&format!(
        "{}{}[rules.probe-failed]\nevery = \"100ms\"\nfor = \"0s\"\n\
         [instances.\"command/echo\"]\nplugin = \"command\"\nconfig = {{ program = \"/bin/echo\" }}\n\
         grants = {{ exec = [{{ program = \"/bin/echo\", arguments = [\"...\"] }}] }}\n\
         [runbooks.look]\ntitle = \"Look\"\ninputs = {{ target = \"nobody\", severity = \"\" }}\n\
         steps = [{{ name = \"tell\", action = \"command/echo\", with = {{ arguments = [\"{{{{inputs.target}}}} for {{{{run.cause}}}}\"] }} }}]\n\
         [[runbooks.look.on]]\nevent = \"incident.opened\"\nwhere = {{ \"labels.instance\" = \"http-probe/shop\" }}\n\
         inputs = {{ target = \"{{{{ data.labels.instance }}}}\", severity = \"{{{{data.severity}}}}\" }}\n",
        probe("shop", &shop),
        probe("other", &other),
    ));
    let daemon = setup.start().await;
    for instance in ["shop", "other"] {
        eventually("the probes succeed", SOON, async || {
            let query = format!("metric=probe_success&label=instance=http-probe/{instance}");
            daemon.latest(&query).await.filter(|value| *value == 1.0)
        })
        .await;
    }
    let incident = async |instance: &str| {
        eventually(&format!("the incident of {instance}"), SOON, async || {
            let of =
                |incident: &Value| incident["members"][0]["labels"]["instance"] == format!("http-probe/{instance}");
            daemon.items("/api/v1/incidents").await.into_iter().find(of)
        })
        .await
    };
    // One that the runbook does not care for, and then one that it does.
    other.answer(503);
    incident("other").await;
    shop.answer(503);
    let opened = incident("shop").await;
    let id = opened["id"].as_str().unwrap();
    let run = eventually("the run", SOON, async || {
        daemon.items("/api/v1/runs?runbook=look").await.into_iter().find(|run| run["cause"] == id)
    })
    .await;
    let run = ended(&daemon, run["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    assert_eq!(run["inputs"], json!({"target": "http-probe/shop", "severity": "high"}));
    assert_eq!(run["steps"][0]["outputs"]["stdout"], format!("http-probe/shop for {id}\n"));
    shop.answer(200);
    eventually("the incident's end", SOON, async || {
        let incident = daemon.get(&format!("/api/v1/incidents/{id}")).await;
        (incident["state"] == "resolved").then_some(())
    })
    .await;
    assert_eq!(daemon.items("/api/v1/runs?runbook=look").await.len(), 1, "once, and for nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_attempts_at_a_step_carry_one_key_and_what_may_have_been_done_is_not_done_again() {
    let api = Receiver::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let step = |name: &str, rest: &str| {
        format!(
            "[runbooks.{name}]\ntitle = \"{name}\"\nsteps = [{{ name = \"Order a thing\", attempts = 2, {rest} }}]\n\
             [runbooks.{name}-safely]\ntitle = \"{name}\"\n\
             steps = [{{ name = \"Order a thing\", attempts = 2, idempotent = true, {rest} }}]\n"
        )
    };
    let post = |path: &str| {
        format!("action = \"http/api\", with = {{ url = \"{path}\", method = \"POST\", timeout-seconds = 0.3 }}")
    };
    let killed = format!(
        "action = \"command/shell\", with = {{ arguments = [\"-c\", \"echo begun >> {}; sleep 300\"], timeout-seconds = 1 }}",
        file.path().display()
    );
    let setup = Setup::new().config(&format!(
        "built-ins = false\n{SHELL}[instances.\"http/api\"]\nplugin = \"http\"\nconfig = {{ base-url = \"{0}\" }}\n\
         grants = {{ http = [\"{0}\"] }}\n{1}{2}{3}",
        api.url(),
        step("answered", &post("/answered")),
        step("silent", &post("/silent")),
        step("killed", &killed),
    ));
    let daemon = setup.start().await;
    let run = async |runbook: &str| {
        let id = start(&daemon, runbook).await;
        let run = ended(&daemon, &id).await;
        let step = &run["steps"][0];
        assert_eq!(run["state"], "failed", "{run:#}");
        (id, step["state"].as_str().unwrap().to_owned(), step["attempts"].as_u64().unwrap())
    };
    let keys = |path: &str| {
        let all = api.received().into_iter().filter(|received| received.path == path);
        all.map(|received| received.header("idempotency-key").to_owned()).collect::<Vec<_>>()
    };
    // An answer says how it ended.
    api.answer(500);
    let (first, state, attempts) = run("answered").await;
    assert_eq!((state.as_str(), attempts), ("failed", 2));
    let sent = keys("/answered");
    assert_eq!(sent, vec![format!("{first}.1.1"); 2]);
    let (second, ..) = run("answered").await;
    assert_ne!(keys("/answered")[2], sent[0], "{second} is another run");
    // No answer says nothing.
    api.hold("/silent");
    let (_, state, attempts) = run("silent").await;
    assert_eq!((state.as_str(), attempts, keys("/silent").len()), ("unknown", 1, 1));
    let (third, _, attempts) = run("silent-safely").await;
    assert_eq!((attempts, &keys("/silent")[1..]), (2, vec![format!("{third}.1.1"); 2].as_slice()));
    api.release();
    // A program that was killed has not said how far it came.
    let begun = || std::fs::read_to_string(file.path()).unwrap().lines().count();
    let (_, state, attempts) = run("killed").await;
    assert_eq!((state.as_str(), attempts, begun()), ("unknown", 1, 1));
    let (_, _, attempts) = run("killed-safely").await;
    assert_eq!((attempts, begun()), (2, 3));
}
