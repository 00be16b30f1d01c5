//! Texts that are only known when the daemon stands: `{{host.url}}`, `{{config.dir}}`, `{{data.dir}}`.

use crate::settings::Settings;
use quarterdeck_model::Shared;
use quarterdeck_model::domain::runbook::Trigger;
use quarterdeck_model::plugin::InstanceSpec;
use serde_json::{Map, Value};
use std::path::Path;

impl Settings {
    /// Fills them in, in the configuration and the grants of instances, the paths and pages of scans, and what runbooks hand to
    /// their steps. Other `{{...}}` are left alone: they are filled in when a step or an alert has their values.
    pub fn resolve(&self, host_url: &str, config_dir: &Path, data_dir: &Path) -> Settings {
        // A folder may be named relative to the working directory, which programs that are started need not share.
        let shown = |dir: &Path| std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).display().to_string();
        let texts = Texts([
            ("{{host.url}}", host_url.trim_end_matches('/').to_owned()),
            ("{{config.dir}}", shown(config_dir)),
            ("{{data.dir}}", shown(data_dir)),
        ]);
        let mut settings = self.clone();
        settings.instances.values_mut().for_each(|instance| texts.instance(instance));
        for scan in settings.scans.values_mut() {
            scan.paths.iter_mut().chain(&mut scan.urls).for_each(|text| texts.fill(text));
        }
        for runbook in settings.runbooks.values_mut() {
            runbook.steps.iter_mut().for_each(|step| texts.map(&mut step.with));
            for trigger in &mut runbook.on {
                if let Trigger::Chosen(chosen) = trigger {
                    texts.map(&mut chosen.inputs);
                }
            }
        }
        for service in settings.services.values_mut() {
            texts.map(&mut service.config);
        }
        settings
    }
}

struct Texts([(&'static str, String); 3]);

impl Texts {
    /// Where nothing is to be filled in it stays the one that it is.
    fn instance(&self, shared: &mut Shared<InstanceSpec>) {
        let mut instance = InstanceSpec::clone(shared);
        self.map(&mut instance.config);
        let grants = &mut instance.grants;
        grants.http.iter_mut().chain(&mut grants.tcp).for_each(|text| self.fill(text));
        for program in grants.exec.iter_mut().chain(&mut grants.process) {
            self.fill(&mut program.program);
            program.arguments.iter_mut().for_each(|text| self.fill(text));
        }
        if instance != **shared {
            *shared = instance.into();
        }
    }

    fn map(&self, map: &mut Map<String, Value>) {
        map.values_mut().for_each(|value| self.value(value));
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.fill(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(map) => self.map(map),
            _ => {}
        }
    }

    fn fill(&self, text: &mut String) {
        for (name, value) in &self.0 {
            if text.contains(name) {
                *text = text.replace(name, value);
            }
        }
    }
}
