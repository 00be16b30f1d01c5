//! Whether plugins take what is configured for them: the instances, and what rules, objectives and services lay over an instance's
//! configuration; and whether whatever names an instance names one of the right kind. Also whether groups of rules can be evaluated,
//! scrape configurations be followed, alerts be routed, and panels of dashboards be drawn.

use quarterdeck_config::{Loaded, Problem, Settings, push};
use quarterdeck_model::plugin::{InstanceName, InstanceSpec, Kind, PluginState, Registry};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// An instance put to use by another object.
struct Use<'a> {
    instance: &'a InstanceName,
    kind: Kind,
    /// JSON Pointer of the name.
    at: String,
    /// Laid over the instance's configuration, and its JSON Pointer.
    config: Option<(&'a Map<String, Value>, String)>,
}

/// What is wrong, whatever plugins there are.
pub(crate) fn unfit_by_itself(loaded: &Loaded, settings: &Settings) -> Vec<Problem> {
    let mut found = Vec::new();
    for (name, group) in &settings.rule_groups {
        let object = push("/rule-groups", name);
        let mistakes = quarterdeck_engines::monitoring::rule_files::check(name, group).into_iter();
        found.extend(mistakes.map(|mistake| loaded.problem(&format!("{object}{}", mistake.pointer), mistake.message)));
    }
    for (name, spec) in &settings.scrape {
        let object = push("/scrape", name);
        let mistakes = quarterdeck_engines::monitoring::scrape::check(name, spec).into_iter();
        found.extend(mistakes.map(|mistake| loaded.problem(&format!("{object}{}", mistake.pointer), mistake.message)));
    }
    for (name, dashboard) in &settings.dashboards {
        let object = push("/dashboards", name);
        let mistakes = quarterdeck_engines::monitoring::check_dashboard(dashboard).into_iter();
        found.extend(mistakes.map(|mistake| loaded.problem(&format!("{object}{}", mistake.pointer), mistake.message)));
    }
    for mistake in quarterdeck_engines::alerting::check(&settings.alerting) {
        found.push(loaded.problem(&format!("/alerting{}", mistake.pointer), mistake.message));
    }
    found
}

/// What is wrong. `settings` are those of `loaded`, resolved. Plugins that are not there (yet) are passed over.
pub(crate) async fn unfit(registry: &dyn Registry, loaded: &Loaded, settings: &Settings) -> Vec<Problem> {
    let mut kinds: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    for plugin in registry.plugins() {
        if matches!(plugin.state, PluginState::Active | PluginState::Probation) {
            kinds.insert(plugin.name, plugin.kinds);
        }
    }
    let of_instances = registry.check(&settings.instances).await;
    let mut found = unfit_by_itself(loaded, settings);
    for (instance, pointer, message) in &of_instances {
        found.push(loaded.problem(&format!("{}{pointer}", push("/instances", instance.as_str())), message));
    }
    for used in uses(settings) {
        let Some(spec) = settings.instances.get(used.instance) else { continue };
        let Some(kinds) = kinds.get(&spec.plugin) else { continue };
        if !kinds.contains(&used.kind) {
            let is = kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
            let message = format!("expected an instance of kind `{}`; `{}` is {is}", used.kind, used.instance);
            found.push(loaded.problem(&used.at, message));
            continue;
        }
        let Some((config, at)) = used.config.filter(|(config, _)| !config.is_empty()) else { continue };
        let mut merged = InstanceSpec::clone(spec);
        merged.config.extend(config.iter().map(|(key, value)| (key.clone(), value.clone())));
        for (_, pointer, message) in registry.check(&BTreeMap::from([(used.instance.clone(), merged.into())])).await {
            let said = of_instances
                .iter()
                .any(|(instance, at, text)| instance == used.instance && *at == pointer && *text == message);
            if let Some(below) = pointer.strip_prefix("/config").filter(|_| !said) {
                found.push(loaded.problem(&format!("{at}{below}"), message));
            }
        }
    }
    found
}

/// Names of the plugins that have to be asked about what is not built in.
pub(crate) fn to_be_asked(loaded: &Loaded) -> BTreeSet<String> {
    let settings = &loaded.settings;
    let named = |instance: &InstanceName| Some(settings.instances.get(instance)?.plugin.clone());
    let object = |pointer: &str| pointer.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let written = |pointer: &str| !loaded.places.is_built_in(pointer);
    let own = settings.instances.keys().filter(|name| written(&push("/instances", name.as_str()))).filter_map(named);
    let used = uses(settings);
    let others = used.iter().filter(|used| written(&object(&used.at))).filter_map(|used| named(used.instance));
    own.chain(others).collect()
}

fn uses(settings: &Settings) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    let correlator = &settings.correlation.correlator;
    let at = "/correlation/correlator".to_owned();
    uses.push(Use { instance: correlator, kind: Kind::Correlator, at, config: None });
    for (name, rule) in &settings.rules {
        let object = push("/rules", name);
        let config = Some((&rule.config, format!("{object}/config")));
        uses.push(Use { instance: &rule.detector, kind: Kind::Detector, at: format!("{object}/detector"), config });
    }
    for (name, slo) in &settings.slos {
        let object = push("/slos", name);
        let config = Some((&slo.config, format!("{object}/config")));
        let at = format!("{object}/calculator");
        uses.push(Use { instance: &slo.calculator, kind: Kind::SlaCalculator, at, config });
    }
    for (name, service) in &settings.services {
        let object = push("/services", name);
        let (kind, at) = (Kind::DeploymentTarget, format!("{object}/target"));
        uses.push(Use { instance: &service.target, kind, at, config: None });
        let (kind, at) = (Kind::DeploymentStrategy, format!("{object}/strategy"));
        let config = Some((&service.config, format!("{object}/config")));
        uses.push(Use { instance: &service.strategy, kind, at, config });
    }
    for (name, route) in &settings.routes {
        let list = format!("{}/notify", push("/routes", name));
        uses.extend(each(&list, &route.notify, Kind::Notifier));
    }
    for (name, receiver) in &settings.alerting.receivers {
        let list = format!("{}/notify", push("/alerting/receivers", name));
        uses.extend(each(&list, &receiver.notify, Kind::Notifier));
    }
    for (name, instance) in &settings.instances {
        if let Some(fallback) = instance.delivery.as_ref().and_then(|delivery| delivery.fallback.as_ref()) {
            let at = format!("{}/delivery/fallback", push("/instances", name.as_str()));
            uses.push(Use { instance: fallback, kind: Kind::Notifier, at, config: None });
        }
    }
    for (name, scan) in &settings.scans {
        let list = format!("{}/rules", push("/scans", name));
        uses.extend(each(&list, &scan.rules, Kind::ScannerRule));
    }
    for (name, runbook) in &settings.runbooks {
        let object = push("/runbooks", name);
        for (index, step) in runbook.steps.iter().enumerate() {
            let (kind, at) = (Kind::RunbookAction, format!("{object}/steps/{index}/action"));
            uses.push(Use { instance: &step.action, kind, at, config: None });
        }
    }
    uses
}

fn each<'a>(list: &str, instances: &'a [InstanceName], kind: Kind) -> impl Iterator<Item = Use<'a>> {
    let at = move |index: usize| format!("{list}/{index}");
    let uses: Vec<Use<'a>> = instances
        .iter()
        .enumerate()
        .map(|(index, instance)| Use { instance, kind, at: at(index), config: None })
        .collect();
    uses.into_iter()
}
