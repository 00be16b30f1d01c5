//! Whether a configuration can be worked with: what its schema can't say. Pure.

use super::posted::is_name;
use super::windows::{Interval, Window};
use quarterdeck_model::domain::alerting::{AlertRoute, AlertingSpec};

/// What is wrong, and where below `alerting`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// A JSON pointer.
    pub pointer: String,
    pub message: String,
}

/// All that is wrong.
pub fn check(spec: &AlertingSpec) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut wrong = |pointer: String, message: &str| found.push(Mistake { pointer, message: message.to_owned() });
    if let Some(root) = &spec.route {
        if root.receiver.as_deref().unwrap_or_default().is_empty() {
            wrong("/route".to_owned(), "the root route needs a `receiver`");
        }
        if !root.matchers.is_empty() {
            wrong("/route/matchers".to_owned(), "the root route takes every alert and has no matchers");
        }
        if root.goes_on {
            wrong("/route/continue".to_owned(), "there is nothing behind the root route");
        }
        if !(root.mute_time_intervals.is_empty() && root.active_time_intervals.is_empty()) {
            wrong("/route".to_owned(), "the root route has no time intervals; hint: say them at a route below it");
        }
        routes("/route", root, &mut wrong);
    }
    for (name, _) in spec.external_labels.iter().filter(|(name, _)| !is_name(name)) {
        wrong(
            format!("/external-labels/{}", escaped(name)),
            "it is not a name of a label; hint: letters, digits and `_`",
        );
    }
    for (name, parts) in &spec.time_intervals {
        for (index, part) in parts.iter().enumerate() {
            if let Err((pointer, message)) = Interval::new(part) {
                wrong(format!("/time-intervals/{}/{index}{pointer}", escaped(name)), &message);
            }
        }
    }
    for (name, window) in &spec.maintenance {
        if let Err((pointer, message)) = Window::new(name, window) {
            wrong(format!("/maintenance/{}{pointer}", escaped(name)), &message);
        }
    }
    found
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn routes(pointer: &str, route: &AlertRoute, wrong: &mut impl FnMut(String, &str)) {
    let names = route.group_by.as_deref().unwrap_or_default();
    if names.len() > 1 && names.iter().any(|name| name == "...") {
        wrong(format!("{pointer}/group-by"), "`...` groups by all labels: it stands alone");
    }
    for (key, span) in [("group-interval", route.group_interval), ("repeat-interval", route.repeat_interval)] {
        if span.is_some_and(|span| span.as_millis() == 0) {
            wrong(format!("{pointer}/{key}"), "expected more than 0s");
        }
    }
    for (index, below) in route.routes.iter().enumerate() {
        routes(&format!("{pointer}/routes/{index}"), below, wrong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check_for(spec: Value, expected: &[&str]) {
        let found = check(&serde_json::from_value(spec.clone()).unwrap());
        let pointers: Vec<&str> = found.iter().map(|mistake| mistake.pointer.as_str()).collect();
        assert_eq!(pointers, expected, "{spec}: {found:?}");
    }

    #[test]
    fn what_can_not_work_is_named_with_its_place() {
        check_for(json!({}), &[]);
        check_for(json!({"route": {"receiver": "a", "group-by": ["..."], "group-wait": "0s"}}), &[]);
        check_for(json!({"route": {}}), &["/route"]);
        check_for(json!({"external-labels": {"a_b": "c", "a-b": "c"}}), &["/external-labels/a-b"]);
        check_for(
            json!({"route": {"receiver": "a", "matchers": ["a=b"], "continue": true}}),
            &["/route/matchers", "/route/continue"],
        );
        check_for(
            json!({"route": {"receiver": "a", "routes": [{"group-by": ["a", "..."], "group-interval": "0s"}]}}),
            &["/route/routes/0/group-by", "/route/routes/0/group-interval"],
        );
        check_for(json!({"time-intervals": {"a/b": [{}, {"years": ["x"]}]}}), &["/time-intervals/a~1b/1/years/0"]);
        check_for(
            json!({"maintenance": {"w": {"cron": "* * * * *"}, "x": {"cron": "no", "duration": "1h"}}}),
            &["/maintenance/w", "/maintenance/x/cron"],
        );
    }

    #[test]
    fn an_inhibit_rule_may_be_about_every_alert_as_alertmanagers_may() {
        check_for(json!({"inhibit-rules": [{"source-matchers": ["a=b"]}, {"target-matchers": ["a=b"]}, {}]}), &[]);
    }
}
