//! `process`: processes that the host owns for the instance, through the supervisor's port.

use crate::bindings::host::errors::Error;
use crate::bindings::host::process::{Host, Phase, Report, Spec};
use crate::imports::{exec, policy};
use crate::sandbox::{Capability, Sandbox};
use quarterdeck_model::Span;
use quarterdeck_model::process::{ProcessPhase, ProcessSpec, ProcessStatus};

/// The longest grace of a stop.
const LONGEST_GRACE: Span = Span::from_secs(3600);

impl Host for Sandbox {
    async fn start(&mut self, spec: Spec) -> wasmtime::Result<Result<Report, Error>> {
        Ok(start(self, spec).await)
    }

    async fn status(&mut self, name: String) -> wasmtime::Result<Result<Report, Error>> {
        if let Err(refusal) = self.ask_for_processes(&name) {
            return Ok(Err(refusal));
        }
        let status = self.doors.processes.status(&self.instance, &name).await;
        Ok(status.map(Report::from).map_err(Error::Failed))
    }

    async fn stop(&mut self, name: String, grace_ms: u64) -> wasmtime::Result<Result<Report, Error>> {
        if let Err(refusal) = self.ask_for_processes(&name) {
            return Ok(Err(refusal));
        }
        Ok(stop(self, &name, Span::from_millis(grace_ms).min(LONGEST_GRACE)).await)
    }
}

impl Sandbox {
    /// Looking and stopping reach the instance's own processes only; any grant of a program will do.
    fn ask_for_processes(&mut self, name: &str) -> Result<(), Error> {
        self.ask(
            Capability::Process,
            || name.to_owned(),
            |grants| {
                if grants.process.is_empty() {
                    return Err("`process` is not granted; hint: grants.process = [{ program = \"/...\" }]".to_owned());
                }
                Ok(())
            },
        )
    }
}

async fn start(sandbox: &mut Sandbox, spec: Spec) -> Result<Report, Error> {
    let target = format!("start {}: {} {}", spec.name, spec.program, spec.arguments.join(" "));
    sandbox.ask(
        Capability::Process,
        || target.clone(),
        |grants| {
            let Spec { program, arguments, environment, .. } = &spec;
            policy::program_allowed(&grants.process, program, arguments, environment, "process")?;
            spec.health_url.as_ref().map_or(Ok(()), |url| policy::health_url_allowed(&grants.http, url))
        },
    )?;
    let given = exec::started_with(&spec.program, &spec.arguments, &spec.environment);
    let named = spec.name.len() + spec.health_url.as_ref().map_or(0, String::len);
    sandbox.count_bytes(0, given.saturating_add(named as u64)).map_err(Error::Limited)?;
    let act = sandbox.caller().begin(Capability::Process, target).await?;
    let spec = ProcessSpec {
        name: spec.name,
        program: spec.program,
        arguments: spec.arguments,
        environment: spec.environment,
        health_url: spec.health_url,
    };
    // A start under way is not cut off with the call: half of one would be a process that nobody knows of. Its record is made there, too,
    // since nobody may wait for it any more.
    let (processes, owner) = (sandbox.doors.processes.clone(), sandbox.instance.clone());
    let starting = async move {
        let started = processes.start(&owner, spec).await;
        act.end(outcome(&started));
        started
    };
    let started = sandbox.doors.runtime.spawn(starting).await.map_err(|error| Error::Failed(error.to_string()))?;
    started.map(Report::from).map_err(Error::Failed)
}

async fn stop(sandbox: &mut Sandbox, name: &str, grace: Span) -> Result<Report, Error> {
    let act = sandbox.caller().begin(Capability::Process, format!("stop {name}")).await?;
    let (processes, owner) = (sandbox.doors.processes.clone(), sandbox.instance.clone());
    let stopped = processes.stop(&owner, name, grace).await;
    act.end(outcome(&stopped));
    stopped.map(Report::from).map_err(Error::Failed)
}

fn outcome(result: &Result<ProcessStatus, String>) -> &'static str {
    if result.is_ok() { "ok" } else { "failed" }
}

impl From<ProcessStatus> for Report {
    fn from(status: ProcessStatus) -> Self {
        let phase = match status.phase {
            ProcessPhase::Starting => Phase::Starting,
            ProcessPhase::Healthy => Phase::Healthy,
            ProcessPhase::Unhealthy => Phase::Unhealthy,
            ProcessPhase::Stopping => Phase::Stopping,
            ProcessPhase::Exited => Phase::Exited,
            ProcessPhase::Absent => Phase::Absent,
        };
        Report { name: status.name, phase, pid: status.pid, exit_code: status.exit_code, restarts: status.restarts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::{Fixture, grants};
    use quarterdeck_model::plugin::ProgramGrant;

    fn web(environment: &[&str]) -> ProgramGrant {
        let environment = environment.iter().map(|name| (*name).to_owned()).collect();
        ProgramGrant { program: "/bin/web".to_owned(), arguments: vec!["*".to_owned()], environment }
    }

    fn spec(program: &str) -> Spec {
        Spec {
            name: "web-1".to_owned(),
            program: program.to_owned(),
            arguments: vec!["8080".to_owned()],
            environment: Vec::new(),
            health_url: None,
        }
    }

    #[tokio::test]
    async fn starts_and_stops_are_on_the_record_and_so_is_what_was_denied_but_no_look() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| {
            grants.process = vec![web(&["LOG_NAME"])];
        }));
        start(&mut sandbox, spec("/bin/web")).await.unwrap();
        assert!(matches!(start(&mut sandbox, spec("/bin/other")).await, Err(Error::Denied(_))));
        let with = |name: &str, variable: &str| Spec {
            name: name.to_owned(),
            environment: vec![(variable.to_owned(), "x".to_owned())],
            ..spec("/bin/web")
        };
        start(&mut sandbox, with("web-3", "LOG_NAME")).await.unwrap();
        start(&mut sandbox, with("web-4", "REPLICA")).await.unwrap();
        let Err(Error::Denied(text)) = start(&mut sandbox, with("web-5", "HOME")).await else {
            panic!("it was started")
        };
        assert!(text.contains("with the variable `HOME`; hint: add [\"HOME\"] to `environment`"), "{text}");
        Host::status(&mut sandbox, "web-1".to_owned()).await.unwrap().unwrap();
        Host::stop(&mut sandbox, "web-1".to_owned(), 10).await.unwrap().unwrap();
        let mut without = fixture.sandbox(grants(|_| ()));
        let denied = Host::stop(&mut without, "web-2".to_owned(), 10).await.unwrap();
        assert!(matches!(denied, Err(Error::Denied(_))));
        let expected = [
            "audit.process start web-1: /bin/other 8080: denied",
            "audit.process start web-1: /bin/web 8080: ok",
            "audit.process start web-3: /bin/web 8080: ok",
            "audit.process start web-4: /bin/web 8080: ok",
            "audit.process start web-5: /bin/web 8080: denied",
            "audit.process stop web-1: ok",
            "audit.process web-2: denied",
        ];
        assert_eq!(fixture.audit().await, expected);
    }

    #[tokio::test]
    async fn what_a_call_had_begun_when_it_was_dropped_is_on_the_record() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| {
            grants.process = vec![web(&[])];
        }));
        let soon = std::time::Duration::from_millis(20);
        let slow = Spec { name: "slow".to_owned(), ..spec("/bin/web") };
        assert!(tokio::time::timeout(soon, start(&mut sandbox, slow)).await.is_err(), "it should still start");
        let stopping = Host::stop(&mut sandbox, "slow".to_owned(), 10);
        assert!(tokio::time::timeout(soon, stopping).await.is_err(), "it should still stop");
        // The start goes on, and is waited for.
        let expected = ["audit.process start slow: /bin/web 8080: ok", "audit.process stop slow: interrupted"];
        assert_eq!(fixture.audit().await, expected);
    }

    #[tokio::test]
    async fn what_a_process_is_started_with_goes_out() {
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(grants(|grants| {
            grants.process = vec![web(&["A"])];
        }));
        let environment = vec![("A".to_owned(), "bc".to_owned())];
        start(&mut sandbox, Spec { environment, ..spec("/bin/web") }).await.unwrap();
        assert_eq!(sandbox.usage.bytes_out, "web-1/bin/web8080Abc".len() as u64);
    }
}
