//! Processes, as the host shows them.

use crate::{Config, Wanted};
use quarterdeck_sdk::collector::Family;
use quarterdeck_sdk::host::files;
use quarterdeck_sdk::host::system::{self, Process, Snapshot};
use quarterdeck_sdk::{Failure, Labels};

/// The kernel keeps no more of a program's name.
const NAME_BYTES: usize = 15;

pub(crate) fn report(config: &Config, families: &mut Vec<Family>, bad: &mut Vec<String>) -> Result<(), Failure> {
    let snapshot = system::take(u32::MAX)?;
    let mut up = Family::gauge("process_up", "1 if as many run as should");
    let mut count = Family::gauge("process_running", "How many run");
    let mut cpu = Family::gauge("process_cpu_percent", "Of one core, all of them together");
    let mut memory = Family::gauge("process_memory_bytes", "Resident, all of them together");
    for wanted in &config.processes {
        let (found, missing) = find(wanted, &snapshot)?;
        let labels = Labels::new().with("process", &wanted.name);
        let running = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let few = running < wanted.at_least;
        let many = wanted.at_most.is_some_and(|most| running > most);
        up.push(labels.clone(), if few || many { 0.0 } else { 1.0 });
        count.push(labels.clone(), f64::from(running));
        cpu.push(labels.clone(), found.iter().map(|process| process.cpu_percent).sum());
        memory.push(labels, found.iter().map(|process| process.memory_bytes as f64).sum());
        if many {
            bad.push(format!(
                "{running} of `{}` run, expected at most {}",
                wanted.name,
                wanted.at_most.unwrap_or(running)
            ));
        } else if few && running == 0 {
            bad.push(format!("`{}` does not run: {missing}", wanted.name));
        } else if few {
            bad.push(format!("{running} of `{}` run, expected at least {}", wanted.name, wanted.at_least));
        }
    }
    families.extend([up, count, cpu, memory]);
    Ok(())
}

/// Those that there are, and why there is none, should that be so.
fn find<'a>(wanted: &Wanted, snapshot: &'a Snapshot) -> Result<(Vec<&'a Process>, String), Failure> {
    let all = &snapshot.top_processes;
    let partly = if all.len() < usize::try_from(snapshot.process_count).unwrap_or(usize::MAX) {
        format!(" among the {} of {} processes that are shown", all.len(), snapshot.process_count)
    } else {
        String::new()
    };
    let Some(path) = &wanted.pid_file else {
        let program = wanted.program.as_ref().unwrap_or(&wanted.name);
        let kept = program.as_bytes().get(..NAME_BYTES).unwrap_or(program.as_bytes());
        let found = all.iter().filter(|process| process.name.as_bytes() == kept || process.name == *program);
        return Ok((found.collect(), format!("there is no `{program}`{partly}")));
    };
    let Some(part) = files::read(path, 0, 64)? else { return Ok((Vec::new(), format!("there is no `{path}`"))) };
    let text = String::from_utf8_lossy(&part.bytes);
    // Some programs write more lines behind the number.
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else {
        return Ok((Vec::new(), format!("there is no number in `{path}`")));
    };
    let found = all.iter().filter(|process| process.pid == pid);
    Ok((found.collect(), format!("`{path}` says {pid}, and there is no such process{partly}")))
}
