//! Who is behind the receivers of a configuration of Alertmanager: the instances of notifiers that are called as a receiver is
//! (`slack/team-x` for `team-x`), unless `[alerting.receivers]` names others. A receiver that told somebody there, and tells nobody here,
//! is a doubt.

use super::{plain, table};
use crate::place::{Place, key_path, push};
use crate::problem::Problem;
use crate::tree::{Kind, Node, Table};
use serde_json::{Value, json};

/// Plugins that tell somebody something.
const NOTIFIERS: [&str; 10] =
    ["alertmanager-webhook", "file", "http-template", "log", "ntfy", "pagerduty", "slack", "smtp", "teams", "webhook"];

/// What Alertmanager does not tell of the end of alerts unless it is told to.
const WITHOUT_ENDS: [&str; 4] = ["email_configs", "rocketchat_configs", "slack_configs", "wechat_configs"];

/// A receiver as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Receiver {
    name: String,
    place: Place,
    /// Ways to reach people, such as `slack_configs`, and whether any of that kind is told of the end of alerts.
    ways: Vec<(String, bool)>,
}

/// What the file says of them.
pub(super) fn read(node: Option<&Node>) -> Vec<Receiver> {
    let all = node.into_iter().flat_map(Node::items);
    let named = all.filter_map(|receiver| Some((receiver, receiver.get("name").map(plain)?)));
    named
        .map(|(receiver, name)| Receiver { name, place: receiver.place.clone(), ways: ways(receiver).collect() })
        .collect()
}

fn ways(receiver: &Node) -> impl Iterator<Item = (String, bool)> {
    let kinds = receiver.entries().filter(|(kind, configs)| kind.ends_with("_configs") && configs.items().count() > 0);
    kinds.map(|(kind, configs)| {
        let unless_said = !WITHOUT_ENDS.contains(&kind);
        let said = |config: &Node| config.get("send_resolved").and_then(|said| said.to_value().as_bool());
        (kind.to_owned(), configs.items().any(|config| said(config).unwrap_or(unless_said)))
    })
}

/// Their names, as `[alerting]` has them: who is behind them is not known yet.
pub(super) fn declared(node: &Node) -> Node {
    let mut found = Table::new();
    for receiver in node.items() {
        if let Some(name) = receiver.get("name").map(plain) {
            found.insert(name, table(receiver, Table::new()));
        }
    }
    table(node, found)
}

/// Says who is behind them, once everything is laid over the files: instances may be set over the API. Gives what is doubtful.
pub(crate) fn complete(root: &mut Node, receivers: &[Receiver]) -> Vec<Problem> {
    let mut doubts = Vec::new();
    for receiver in receivers {
        let own = instances(root, &receiver.name);
        let Some(entries) = entries(root, &receiver.name) else { continue };
        let mut add = |key: &str, value: Value| {
            let is_new = entries.get(key).is_none();
            if is_new {
                entries.insert(key.to_owned(), Node::from_value(&receiver.place, value));
            }
            is_new
        };
        let names: Vec<String> = own.iter().map(|(instance, _)| instance.clone()).collect();
        if add("notify", json!(names)) {
            doubts.extend(receiver.unreached(&own));
        }
        // One that told somebody there, and is to be told of the end, has to be told here: an incident would stay open for ever.
        let wants_ends = receiver.ways.is_empty() || receiver.ways.iter().any(|(_, ends)| *ends);
        if add("send-resolved", json!(wants_ends)) {
            doubts.extend(receiver.divided());
        }
    }
    doubts
}

/// Instances of notifiers that are called so, with their plugins. Those that are built in are called as it came: a receiver `default` is
/// not `log/default`.
fn instances(root: &Node, receiver: &str) -> Vec<(String, String)> {
    let all = root.get("instances").into_iter().flat_map(Node::entries);
    let written = all.filter(|(_, instance)| instance.place != Place::Default);
    let called = written.filter_map(|(name, instance)| {
        let (prefix, own) = name.split_once('/')?;
        let plugin = instance.get("plugin").and_then(Node::text).unwrap_or(prefix);
        (own == receiver && NOTIFIERS.contains(&plugin)).then(|| (name.to_owned(), plugin.to_owned()))
    });
    called.collect()
}

fn entries<'a>(root: &'a mut Node, receiver: &str) -> Option<&'a mut Table> {
    let mut node = root;
    for key in ["alerting", "receivers", receiver] {
        let Kind::Table(entries) = &mut node.kind else { return None };
        node = entries.get_mut(key)?;
    }
    if let Kind::Table(entries) = &mut node.kind { Some(entries) } else { None }
}

/// Plugins that do what Alertmanager does in this way, the first of them best.
fn standing_for(way: &str) -> &'static [&'static str] {
    match way {
        "webhook_configs" => &["alertmanager-webhook", "webhook", "http-template", "ntfy"],
        "email_configs" => &["smtp"],
        "slack_configs" => &["slack"],
        "pagerduty_configs" => &["pagerduty"],
        "msteams_configs" | "msteamsv2_configs" => &["teams"],
        _ => &["http-template", "ntfy", "webhook", "alertmanager-webhook"],
    }
}

impl Receiver {
    fn pointer(&self) -> String {
        push("/alerting/receivers", &self.name)
    }

    /// One that reached people in ways that nobody here stands for. A receiver without any, as `null`, told nobody there either.
    fn unreached(&self, own: &[(String, String)]) -> Option<Problem> {
        let stands = |way: &str| own.iter().any(|(_, plugin)| standing_for(way).contains(&plugin.as_str()));
        let missing: Vec<&str> = self.ways.iter().map(|(way, _)| way.as_str()).filter(|way| !stands(way)).collect();
        let first = missing.first()?;
        let plugin = standing_for(first).first()?;
        let (name, ways) = (&self.name, missing.join("`, `"));
        let message = if own.is_empty() {
            format!(
                "the receiver `{name}` tells nobody: `{ways}` of this file are not at work here, and no notifier's instance is called as it is"
            )
        } else {
            format!("the receiver `{name}` leaves out `{ways}`, which are not at work here")
        };
        let instance = key_path(&push("/instances", &format!("{plugin}/{name}")));
        let receiver = key_path(&self.pointer());
        let hint = format!(
            "write an instance `[{instance}]` with `plugin = \"{plugin}\"`, or say who it is: `[{receiver}]` with `notify = [...]` (empty: nobody)"
        );
        Some(Problem::at(&self.place, &self.pointer(), message).hint(hint))
    }

    /// One of which some are told of the end of alerts and some are not: here it is one answer for all.
    fn divided(&self) -> Option<Problem> {
        let of = |wanted: bool| self.ways.iter().find(|(_, ends)| *ends == wanted).map(|(way, _)| way);
        let (told, not_told) = (of(true)?, of(false)?);
        let name = &self.name;
        let message = format!(
            "`{told}` of the receiver `{name}` are told of the end of alerts and `{not_told}` are not; here it is told to all of a receiver"
        );
        let receiver = key_path(&self.pointer());
        let hint = format!("say which: `[{receiver}]` with `send-resolved`; or make two receivers of it");
        Some(Problem::at(&self.place, &self.pointer(), message).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::NOTIFIERS;
    use crate::{Base, Loaded, Source, Word};
    use serde_json::json;

    const ROUTE: &str = "route: {receiver: ops}\nreceivers:\n";

    fn load(toml: &str, yaml: &str, words: &[Word]) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("quarterdeck.toml"), format!("[alerting]\nfile = \"a.yml\"\n{toml}"))
            .unwrap();
        std::fs::write(folder.path().join("a.yml"), format!("{ROUTE}{yaml}")).unwrap();
        let source = Source { dir: Some(folder.path().to_owned()), ..Source::default() };
        Base::read(source).with(words).unwrap()
    }

    fn doubts(loaded: &Loaded) -> Vec<String> {
        let all = loaded.warnings.iter().map(ToString::to_string);
        all.filter(|warning| warning.contains("receiver")).collect()
    }

    fn instance(name: &str) -> String {
        format!("[instances.\"{name}\"]\nplugin = \"{}\"\n", name.split_once('/').unwrap().0)
    }

    #[test]
    fn the_notifiers_are_those_that_there_are() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/notifier");
        let plugins = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let folders = plugins.filter(|entry| entry.path().join("Cargo.toml").is_file());
        let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, NOTIFIERS);
    }

    #[test]
    fn a_receiver_that_tells_nobody_is_said_with_what_to_write() {
        let yaml = "- name: ops\n  slack_configs: [{channel: '#ops'}]\n- name: nobody\n- name: 'null'\n  webhook_configs: []\n";
        let found = doubts(&load("", yaml, &[]));
        assert_eq!(found.len(), 1, "{found:?}");
        for part in [
            "a.yml:3:3: alerting.receivers.ops: the receiver `ops` tells nobody: `slack_configs`",
            "hint: write an instance `[instances.\"slack/ops\"]` with `plugin = \"slack\"`",
            "`[alerting.receivers.ops]` with `notify = [...]`",
        ] {
            assert!(found[0].contains(part), "{}", found[0]);
        }
        for toml in [instance("slack/ops"), "[alerting.receivers.ops]\nnotify = []\n".to_owned()] {
            assert_eq!(doubts(&load(&toml, yaml, &[])), Vec::<String>::new(), "{toml}");
        }
    }

    #[test]
    fn the_plugin_that_is_proposed_does_what_the_integration_does() {
        for (way, plugin) in [
            ("webhook_configs", "alertmanager-webhook"),
            ("email_configs", "smtp"),
            ("pagerduty_configs", "pagerduty"),
            ("msteams_configs", "teams"),
            ("msteamsv2_configs", "teams"),
            ("opsgenie_configs", "http-template"),
        ] {
            let found = doubts(&load("", &format!("- name: ops\n  {way}: [{{}}]\n"), &[]));
            assert!(found[0].contains(&format!("plugin = \"{plugin}\"")), "{found:?}");
        }
    }

    #[test]
    fn a_way_that_nobody_stands_for_is_said_though_others_are_told() {
        let yaml = "- name: ops\n  slack_configs: [{send_resolved: true}]\n  pagerduty_configs: [{}]\n";
        let found = doubts(&load(&instance("slack/ops"), yaml, &[]));
        assert!(found.len() == 1 && found[0].contains("`ops` leaves out `pagerduty_configs`"), "{found:?}");
        let both = instance("slack/ops") + &instance("pagerduty/ops");
        assert_eq!(doubts(&load(&both, yaml, &[])), Vec::<String>::new());
    }

    #[test]
    fn instances_of_the_api_are_behind_receivers_and_built_in_ones_are_not() {
        let yaml = "- name: ops\n  webhook_configs: [{}]\n- name: default\n  webhook_configs: [{}]\n";
        let word = Word {
            section: "instances".to_owned(),
            name: "webhook/ops".to_owned(),
            value: Some(json!({"plugin": "webhook"})),
        };
        let loaded = load("", yaml, &[word]);
        let receivers = &loaded.settings.alerting.receivers;
        assert_eq!(serde_json::to_value(&receivers["ops"].notify).unwrap(), json!(["webhook/ops"]));
        assert_eq!(serde_json::to_value(&receivers["default"].notify).unwrap(), json!([]));
        let found = doubts(&loaded);
        assert!(found.len() == 1 && found[0].contains("the receiver `default` tells nobody"), "{found:?}");
    }

    #[test]
    fn ends_are_told_where_alertmanager_tells_them() {
        for (ways, expected) in [
            ("slack_configs: [{}]", false),
            ("email_configs: [{}]", false),
            ("wechat_configs: [{}]", false),
            ("slack_configs: [{}, {send_resolved: true}]", true),
            ("webhook_configs: [{}]", true),
            ("pagerduty_configs: [{}]", true),
            ("opsgenie_configs: [{}]", true),
            ("msteamsv2_configs: [{}]", true),
            ("webhook_configs: [{send_resolved: false}]", false),
            ("webhook_configs: []", true),
        ] {
            let loaded = load("", &format!("- name: ops\n  {ways}\n"), &[]);
            assert_eq!(loaded.settings.alerting.receivers["ops"].send_resolved, expected, "{ways}");
        }
    }

    #[test]
    fn a_receiver_of_which_a_part_is_told_of_ends_is_said_and_all_of_it_is_told() {
        let yaml = "- name: ops\n  email_configs: [{}]\n  pagerduty_configs: [{}]\n";
        let both = instance("smtp/ops") + &instance("pagerduty/ops");
        let loaded = load(&both, yaml, &[]);
        assert!(loaded.settings.alerting.receivers["ops"].send_resolved);
        let found = doubts(&loaded);
        assert!(
            found.len() == 1 && found[0].contains("`pagerduty_configs` of the receiver `ops` are told"),
            "{found:?}"
        );
        let said = format!("[alerting.receivers.ops]\nsend-resolved = false\n{both}");
        let loaded = load(&said, yaml, &[]);
        assert!(!loaded.settings.alerting.receivers["ops"].send_resolved);
        assert_eq!(doubts(&loaded), Vec::<String>::new());
    }
}
