//! What may be written and can never work, as far as it can be told from the configuration alone. A warning, never a mistake: the
//! daemon of tomorrow, or a plugin that is dropped in, may know more.

use crate::layers::Loaded;
use crate::place::push;
use crate::problem::Problem;
use crate::settings::Settings;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::notification::RouteSpec;
use quarterdeck_model::event::{EventFilter, TYPES};
use quarterdeck_model::nearest;
use quarterdeck_model::plugin::InstanceName;
use std::collections::BTreeSet;

/// Events of this topic are anybody's.
const OPEN: &str = "custom";

pub(crate) fn of(loaded: &Loaded) -> Vec<Problem> {
    let settings = &loaded.settings;
    let mut found = Vec::new();
    for (name, route) in settings.routes.iter().filter(|(_, route)| route.enabled) {
        let pointer = format!("{}/events", push("/routes", name));
        if route.events.is_empty() {
            let problem = loaded.problem(&pointer, "no event is told: the list is empty");
            found.push(problem.hint("name types or topics, such as `incident`"));
        }
        for (index, pattern) in route.events.iter().enumerate() {
            let at = push(&pointer, &index.to_string());
            found.extend(unheard(loaded, &at, pattern, RouteSpec::may_tell));
        }
    }
    for (name, runbook) in settings.runbooks.iter().filter(|(_, runbook)| runbook.enabled) {
        for (index, trigger) in runbook.on.iter().enumerate() {
            let at = format!("{}/on/{index}", push("/runbooks", name));
            found.extend(unheard(loaded, &at, trigger.event(), |_| true));
        }
    }
    found.extend(alerting(loaded));
    for (name, rule) in settings.rules.iter().filter(|(_, rule)| rule.enabled) {
        let off = rule.runbook.as_ref().filter(|slug| settings.runbooks.get(*slug).is_some_and(|book| !book.enabled));
        if let Some(slug) = off {
            let at = format!("{}/runbook", push("/rules", name));
            found.push(loaded.problem(&at, format!("the runbook `{slug}` is switched off")));
        }
    }
    found
}

/// Receivers that reach nobody, and what takes more than it seems to.
fn alerting(loaded: &Loaded) -> Vec<Problem> {
    let settings = &loaded.settings;
    let mut found = Vec::new();
    for (name, receiver) in &settings.alerting.receivers {
        let pointer = format!("{}/notify", push("/alerting/receivers", name));
        for (index, instance) in receiver.notify.iter().enumerate() {
            if !settings.instances.contains_key(instance) {
                let problem =
                    loaded.problem(&push(&pointer, &index.to_string()), format!("there is no instance `{instance}`"));
                found.push(match nearest(instance.as_str(), settings.instances.keys().map(InstanceName::as_str)) {
                    Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                    None => problem,
                });
            }
        }
    }
    if settings.alerting.route.is_none() && !settings.alerting.receivers.is_empty() {
        let problem = loaded.problem("/alerting/receivers", "nobody is told: there is no `[alerting.route]`");
        found.push(problem);
    }
    for (name, window) in &settings.alerting.maintenance {
        if window.matchers.is_empty() {
            let problem =
                loaded.problem(&push("/alerting/maintenance", name), "it is about every alert: it has no matchers");
            found.push(problem);
        }
    }
    if settings.alerting.route.is_some() {
        // Both tell of alerts then, each in its own way.
        for (name, route) in settings.routes.iter().filter(|(_, route)| route.enabled) {
            let told =
                route.events.iter().position(|pattern| EventFilter::types([pattern]).lets_through(Alert::FIRING, ""));
            if let Some(index) = told {
                let at = format!("{}/events/{index}", push("/routes", name));
                let is_built_in = loaded.places.is_built_in(&push("/routes", name));
                // What is built in has no place of its own to be shown.
                let (at, which) = if is_built_in {
                    ("/alerting/route".to_owned(), format!("the built-in route `{name}`"))
                } else {
                    (at, "this route".to_owned())
                };
                let problem = loaded.problem(
                    &at,
                    format!("alerts are told by {which} one by one, and by `[alerting.route]` in groups"),
                );
                let others = route
                    .events
                    .iter()
                    .filter(|pattern| !EventFilter::types([pattern.as_str()]).lets_through(Alert::FIRING, ""));
                let others: Vec<String> = others.map(|pattern| format!("\"{pattern}\"")).collect();
                found.push(problem.hint(if is_built_in {
                    format!("`[routes.{name}]` with `events = [{}]`, unless both are wanted", others.join(", "))
                } else {
                    "leave `alert` out here, unless both are wanted".to_owned()
                }));
            }
        }
    }
    found
}

/// A pattern that no event will ever fit.
fn unheard(loaded: &Loaded, at: &str, pattern: &str, told: impl Fn(&str) -> bool) -> Option<Problem> {
    let filter = EventFilter::types([pattern]);
    let fitting: Vec<&str> = TYPES.into_iter().filter(|known| filter.lets_through(known, "")).collect();
    if fitting.iter().any(|known| told(known)) || may_be_published(&loaded.settings, pattern) {
        return None;
    }
    if !fitting.is_empty() {
        let problem = loaded.problem(at, format!("events of `{pattern}` are told to nobody"));
        return Some(problem.hint("of what is told about telling, only `notification.failed` can be had"));
    }
    let topic = topic(pattern);
    let topics: BTreeSet<&str> = TYPES.into_iter().map(self::topic).collect();
    let of_topic: Vec<&str> = TYPES.into_iter().filter(|known| self::topic(known) == topic).collect();
    let meant = nearest(pattern, TYPES.into_iter().chain(topics.iter().copied()).chain([OPEN]));
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if of_topic.is_empty() => {
            let topics = topics.into_iter().collect::<Vec<_>>().join(", ");
            format!("there are events of {topics}; those of your own begin with `custom.`")
        }
        None => format!("there are {}", of_topic.join(", ")),
    };
    Some(loaded.problem(at, format!("there is no event of the type `{pattern}`")).hint(hint))
}

fn topic(event_type: &str) -> &str {
    event_type.split('.').next().unwrap_or_default()
}

/// Whether the API or a plugin may publish such an event. Topics of the host are known to their last type.
fn may_be_published(settings: &Settings, pattern: &str) -> bool {
    let topic = topic(pattern);
    if topic == OPEN {
        return true;
    }
    let is_own = TYPES.into_iter().any(|known| self::topic(known) == topic);
    let mut granted = settings.instances.values().flat_map(|instance| &instance.grants.events);
    granted
        .any(|grant| self::topic(grant) == topic && (!is_own || EventFilter::types([pattern]).lets_through(grant, "")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::domain::deployment::Deployment;
    use quarterdeck_model::domain::failure::Failure;
    use quarterdeck_model::domain::incident::Incident;
    use quarterdeck_model::domain::notification::Notification;
    use quarterdeck_model::domain::runbook::Run;
    use quarterdeck_model::domain::scan::{Finding, Scan};
    use quarterdeck_model::domain::silence::Silence;
    use quarterdeck_model::domain::slo::SloStatus;

    #[test]
    fn the_types_that_documents_name_are_known() {
        for named in [
            Alert::FIRING,
            Alert::RESOLVED,
            Deployment::STARTED,
            Deployment::MOVED,
            Deployment::PAUSED,
            Deployment::FINISHED,
            Failure::RULE_FAILED,
            Failure::RULE_RECOVERED,
            Failure::CALCULATION_FAILED,
            Failure::CALCULATION_RECOVERED,
            Incident::OPENED,
            Incident::UPDATED,
            Incident::ACKNOWLEDGED,
            Incident::RESOLVED,
            Notification::DELIVERED,
            Notification::FAILED,
            Run::STARTED,
            Run::STEP,
            Run::FINISHED,
            Run::REFUSED,
            Scan::FINISHED,
            Finding::OPENED,
            Finding::FIXED,
            Silence::SET,
            Silence::EXPIRED,
            SloStatus::BREACHED,
            SloStatus::RECOVERED,
        ] {
            assert!(TYPES.contains(&named), "{named}");
        }
    }
}
