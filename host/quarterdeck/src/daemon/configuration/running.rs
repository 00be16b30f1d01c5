//! What runs for a service must not be lost to a change of the configuration: its processes would end with all that they are working
//! on, and whoever hands them their requests would not be told.
//!
//! A service that is taken away as well takes its processes with it, and so does what no service is made of.

use quarterdeck_config::{Loaded, Problem, Settings, push};
use quarterdeck_model::plugin::InstanceName;

/// Services that stay configured although the change from `before` to `next` would end their processes. `ending`: owner and id of
/// each process that it would end.
pub(super) fn bereft(before: &Settings, next: &Loaded, ending: &[(InstanceName, String)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, service) in &before.services {
        let own: Vec<&str> =
            ending.iter().filter(|(owner, _)| *owner == service.target).map(|(_, process)| process.as_str()).collect();
        if own.is_empty() || !next.settings.services.contains_key(name) {
            continue;
        }
        let (target, count) = (&service.target, own.len());
        let plural = if count == 1 { "" } else { "es" };
        let message = format!(
            "service `{name}` runs {count} process{plural} ({}) that `{target}` could not run any more: they would be ended in the middle of their work",
            own.join(", ")
        );
        let mut problem = next.problem(&push(&push("/services", name), "target"), message);
        problem.hint = Some(format!(
            "keep `{target}`, and its process grants for what runs, until a deployment has replaced it; or remove the service as well, which ends its processes"
        ));
        problems.push(problem);
    }
    problems
}
