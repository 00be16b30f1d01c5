//! Which alerts and silences are asked for.

use super::answer::{Failure, Parameters};
use quarterdeck_engines::alerting::Shown;
use quarterdeck_model::domain::alerting::{Comparison, Matcher};
use quarterdeck_model::label::Labels;

pub(super) fn matchers(parameters: &Parameters) -> Result<Vec<Matcher>, Failure> {
    parameters.0.many("filter").map(|text| text.parse::<Matcher>().map_err(Failure::bad)).collect()
}

/// As everywhere in Alertmanager, a label that is not there is an empty one.
pub(super) fn lets_through(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

/// What alerts are filtered by.
pub(super) struct Filter {
    matchers: Vec<Matcher>,
    receiver: Option<Matcher>,
    active: bool,
    silenced: bool,
    inhibited: bool,
}

impl Filter {
    pub(super) fn of(parameters: &Parameters) -> Result<Self, Failure> {
        let receiver = parameters.0.many("receiver").next().filter(|text| !text.is_empty());
        let receiver = receiver.map(|text| {
            let regex = Matcher::new("receiver", Comparison::Regex, text);
            regex.map_err(|error| Failure::bad(format!("failed to parse receiver param: {error}")))
        });
        Ok(Filter {
            matchers: matchers(parameters)?,
            receiver: receiver.transpose()?,
            active: parameters.flag("active")?,
            silenced: parameters.flag("silenced")?,
            inhibited: parameters.flag("inhibited")?,
        })
    }

    pub(super) fn takes_receiver(&self, name: &str) -> bool {
        self.receiver.as_ref().is_none_or(|receiver| receiver.matches_value(name))
    }

    pub(super) fn takes(&self, shown: &Shown) -> bool {
        let is_active = shown.silenced_by.is_empty() && shown.inhibited_by.is_empty();
        (self.active || !is_active)
            && (self.silenced || shown.silenced_by.is_empty())
            && (self.inhibited || shown.inhibited_by.is_empty())
            && lets_through(&self.matchers, &shown.alert.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_not_there_is_an_empty_one() {
        let labels: Labels = [("a", "b")].into_iter().collect();
        for (text, expected) in [
            ("a=b", true),
            ("a=c", false),
            ("x=\"\"", true),
            ("a=\"\"", false),
            ("x=c", false),
            ("a=~\".*\"", true),
            ("x=~\".*\"", true),
            ("x=~\"c|\"", true),
            ("x=~\".+\"", false),
            ("a=~\"\"", false),
            ("x=~\"\"", true),
            ("a!=c", true),
            ("a!=b", false),
            ("x!=c", true),
            ("a!=\"\"", true),
            ("x!=\"\"", false),
            ("a!~\"b|c\"", false),
            ("x!~\"b|c\"", true),
            ("x!~\".*\"", false),
            ("a!~\"\"", true),
            ("x!~\"\"", false),
        ] {
            assert_eq!(lets_through(&[text.parse().unwrap()], &labels), expected, "{text}");
        }
    }
}
