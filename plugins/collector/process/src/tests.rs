use super::*;
use quarterdeck_sdk::collector::State;
use quarterdeck_sdk::host::exec::Finished;
use quarterdeck_sdk::host::system::{self, Snapshot};
use quarterdeck_sdk::testing::FakeHost;
use quarterdeck_sdk::{Labels, serde_json};

fn machine() -> FakeHost {
    let process = |pid, name: &str| system::Process { pid, name: name.into(), cpu_percent: 2.5, memory_bytes: 100 };
    let all = vec![process(1, "init"), process(7, "postgres"), process(8, "postgres"), process(9, "a-very-long-nam")];
    let snapshot = Snapshot { process_count: 4, top_processes: all, ..Snapshot::default() };
    FakeHost { system: Some(snapshot), ..FakeHost::default() }
}

fn collect(host: FakeHost, config: &str) -> Collection {
    let config = serde_json::from_str(config).unwrap();
    host.run(|| Process::collect(&config, 0)).0.unwrap()
}

#[test]
fn processes_are_counted_by_the_name_that_the_kernel_keeps() {
    let config =
        r#"{"processes":[{"name":"postgres","at-least":2},{"name":"long","program":"a-very-long-name-indeed"}]}"#;
    let collected = collect(machine(), config);
    let labels = Labels::new().with("process", "postgres");
    let value = |name: &str| collected.value(name, &labels);
    assert_eq!((value("process_up"), value("process_running")), (Some(1.0), Some(2.0)));
    assert_eq!((value("process_cpu_percent"), value("process_memory_bytes")), (Some(5.0), Some(200.0)));
    assert_eq!(collected.health, Health::ok("2 processes and 0 units run"));
}

#[test]
fn too_few_and_too_many_fail_and_say_so() {
    let failed = |wanted: &str, message: &str| {
        let collected = collect(machine(), &format!(r#"{{"processes":[{wanted}]}}"#));
        assert_eq!(collected.health, Health::failed(message));
    };
    failed(r#"{"name":"nginx"}"#, "`nginx` does not run: there is no `nginx`");
    failed(r#"{"name":"postgres","at-least":3}"#, "2 of `postgres` run, expected at least 3");
    failed(r#"{"name":"postgres","at-most":1}"#, "2 of `postgres` run, expected at most 1");
    let mut crowded = machine();
    crowded.system.as_mut().unwrap().process_count = 5000;
    let message = "`nginx` does not run: there is no `nginx` among the 4 of 5000 processes that are shown";
    assert_eq!(collect(crowded, r#"{"processes":[{"name":"nginx"}]}"#).health, Health::failed(message));
}

#[test]
fn a_pid_file_names_its_process_and_one_that_is_left_behind_is_told_apart() {
    let ask = |text: Option<&str>| {
        let mut host = machine();
        host.files.extend(text.map(|text| ("/run/shop.pid".to_owned(), (1, text.into()))));
        collect(host, r#"{"processes":[{"name":"shop","pid-file":"/run/shop.pid"}]}"#).health
    };
    assert_eq!(ask(Some("9\nmore\n")).state, State::Ok);
    assert_eq!(ask(Some("77\n")).message, "`shop` does not run: `/run/shop.pid` says 77, and there is no such process");
    assert_eq!(ask(Some("x")).message, "`shop` does not run: there is no number in `/run/shop.pid`");
    assert_eq!(ask(None).message, "`shop` does not run: there is no `/run/shop.pid`");
}

fn systemd(exit_code: i32, stdout: &'static str, stderr: &'static str) -> FakeHost {
    let run = move |command: &quarterdeck_sdk::host::exec::Command| {
        assert_eq!(command.program, "/usr/bin/systemctl");
        assert_eq!(command.arguments[0], "show");
        Ok(Finished { exit_code: Some(exit_code), stdout: stdout.into(), stderr: stderr.into(), ..Finished::default() })
    };
    FakeHost { exec: Some(Box::new(run)), ..FakeHost::default() }
}

const UNITS: &str = r#"{"units":["nginx.service","www.service","shop.service","gone.service"]}"#;

#[test]
fn units_are_reported_by_any_of_their_names_with_their_state() {
    let shown = "Id=nginx.service\nNames=nginx.service www.service\nLoadState=loaded\nActiveState=active\nSubState=running\n\
                 NRestarts=2\nMemoryCurrent=4096\nResult=success\n\n\
                 Id=shop.service\nNames=shop.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\nNRestarts=5\n\
                 MemoryCurrent=[not set]\nResult=exit-code\n\n\
                 Id=gone.service\nNames=gone.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nResult=success\n";
    let collected = collect(systemd(0, shown, ""), UNITS);
    let of = |unit: &str| Labels::new().with("unit", unit);
    for (unit, up) in [("nginx.service", 1.0), ("www.service", 1.0), ("shop.service", 0.0), ("gone.service", 0.0)] {
        assert_eq!(collected.value("unit_up", &of(unit)), Some(up), "{unit}");
    }
    assert_eq!(collected.value("unit_restarts_total", &of("nginx.service")), Some(2.0));
    assert_eq!(collected.value("unit_memory_bytes", &of("nginx.service")), Some(4096.0));
    assert_eq!(collected.value("unit_memory_bytes", &of("shop.service")), None);
    assert_eq!(collected.value("unit_state", &of("shop.service").with("state", "failed")), Some(1.0));
    assert_eq!(collected.health.message, "`shop.service` is failed (failed, exit-code); `gone.service` is not known");
}

#[test]
fn a_machine_without_systemd_says_so() {
    let said =
        "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect to bus\n";
    let collected = collect(systemd(1, "", said), UNITS);
    assert!(
        collected.health.message.starts_with("units can't be asked for: System has not been booted"),
        "{collected:?}"
    );
    assert!(collected.families.is_empty());
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_places() {
    let places = |json: &str| {
        let found = Process::validate(&serde_json::from_str(json).unwrap());
        found.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
    };
    assert_eq!(places("{}"), [""]);
    let json = r#"{"processes":[{"name":"a","program":"b","pid-file":"c"},{"name":"a","at-least":2,"at-most":1}],
        "units":["nginx","-h.service","ok.service","ok.service"],"systemctl":"systemctl"}"#;
    assert_eq!(
        places(json),
        [
            "/processes/0/pid-file",
            "/processes/0/pid-file",
            "/processes/1/name",
            "/processes/1/at-most",
            "/units/0",
            "/units/1",
            "/units/3",
            "/systemctl"
        ]
    );
}
