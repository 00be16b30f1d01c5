//! What is taken, with a warning that it can never work.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use quarterdeck_config::{Source, load};

fn warnings(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("quarterdeck.toml"), text).unwrap();
    let source = Source { dir: Some(dir.path().to_owned()), ..Source::default() };
    let loaded = load(source).unwrap_or_else(|problems| unreachable!("{problems}"));
    let folder = format!("{}/", dir.path().display());
    loaded.warnings.iter().map(|warning| warning.to_string().replace(&folder, "")).collect()
}

fn route(events: &str) -> Vec<String> {
    warnings(&format!("[routes.team]\nevents = [{events}]\nnotify = [\"log/default\"]\n"))
}

#[test]
fn a_route_for_events_that_there_are_not_is_warned_of_with_what_was_meant() {
    let told = route("\"incident.opened\", \"incident.open\"");
    assert_eq!(
        told,
        [
            "quarterdeck.toml:2:30: routes.team.events[1]: there is no event of the type `incident.open`; hint: did you mean `incident.opened`?"
        ]
    );
    for (pattern, said) in [
        ("incidents", "did you mean `incident`?"),
        ("slo.over", "there are slo.breached, slo.recovered"),
        ("weather", "those of your own begin with `custom.`"),
        ("effect.", "are told to nobody; hint: of what is told about telling"),
        ("audit.exec", "are told to nobody"),
    ] {
        let told = route(&format!("\"{pattern}\""));
        assert!(told.len() == 1 && told[0].contains(said), "{pattern}: {told:?}");
    }
    assert!(route("")[0].contains("the list is empty"));
}

#[test]
fn events_that_there_are_or_may_be_are_not_warned_of() {
    let good = "\"incident\", \"alert.\", \"incident.opened\", \"notification.failed\", \"custom.order.placed\", \"custom\", \"health.changed\"";
    assert_eq!(route(good), [] as [String; 0]);
    let granted = "[instances.\"http-probe/shop\"]\nplugin = \"http-probe\"\ngrants.events = [\"order.\"]\n\
        [routes.team]\nevents = [\"order.placed\"]\nnotify = [\"log/default\"]\n";
    assert_eq!(warnings(granted), [] as [String; 0], "a plugin may publish it");
    let off = "[routes.team]\nenabled = false\nevents = [\"incident.open\"]\nnotify = [\"log/default\"]\n";
    assert_eq!(warnings(off), [] as [String; 0], "what is switched off need not work");
}

#[test]
fn a_runbook_that_no_event_can_start_and_a_rule_whose_runbook_is_switched_off_are_warned_of() {
    let told = warnings(
        "[runbooks.look]\ntitle = \"Look\"\non = [\"alert.fired\"]\nsteps = [{ name = \"Log\", action = \"metric-check/default\" }]\n\
         [rules.cpu-high]\nrunbook = \"system-health-check\"\n[runbooks.system-health-check]\nenabled = false\n",
    );
    assert!(
        told.iter().any(|said| said.contains("runbooks.look.on[0]") && said.contains("`alert.firing`?")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|said| said.contains("rules.cpu-high.runbook") && said.contains("switched off")),
        "{told:?}"
    );
}

#[test]
fn a_route_that_tells_of_alerts_beside_alerting_is_warned_of_also_where_it_is_built_in() {
    let alerting = "[alerting.route]\nreceiver = \"ops\"\n[alerting.receivers.ops]\nnotify = [\"log/default\"]\n";
    let told = warnings(alerting);
    assert!(
        told.iter().any(|said| said.contains("the built-in route `log`") && said.contains("events = [\"incident\"")),
        "{told:?}"
    );
    let changed = warnings(&format!("{alerting}[routes.log]\nevents = [\"incident\"]\n"));
    assert_eq!(changed, [] as [String; 0]);
}
