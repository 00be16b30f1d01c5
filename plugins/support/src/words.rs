//! Titles and texts where no template says otherwise.

use crate::group::{Alert, Group, Labels, is_group};
use quarterdeck_sdk::Severity;
use quarterdeck_sdk::notifier::Message;

/// Alerts that are listed in a text; the others are counted.
const LISTED: usize = 20;

/// One line: the message's own, or of a group `[FIRING:2] DiskFull (high)`.
pub fn title(message: &Message, group: &Group) -> String {
    if !is_group(message) {
        return message.title.clone();
    }
    let state = match group.firing().count() {
        0 => format!("RESOLVED:{}", group.alerts.len()),
        firing => format!("FIRING:{firing}"),
    };
    let by: Vec<&str> = group.group_labels.values().map(String::as_str).filter(|value| !value.is_empty()).collect();
    let by = if by.is_empty() { message.title.clone() } else { by.join(" ") };
    let more: Vec<&str> = group
        .common_labels
        .iter()
        .filter(|(name, value)| !group.group_labels.contains_key(*name) && !value.is_empty())
        .map(|(_, value)| value.as_str())
        .collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(" ")) };
    format!("[{state}] {by}{more}")
}

/// Several lines: the message's body, or of a group a line for each alert.
pub fn text(message: &Message, group: &Group) -> String {
    if !is_group(message) {
        return message.body.trim_end().to_owned();
    }
    let mut lines = Vec::new();
    for (index, alert) in group.firing().chain(group.resolved()).enumerate() {
        if index == LISTED {
            let more = group.alerts.len() - LISTED;
            lines.push(format!("... and {more} more"));
            break;
        }
        lines.push(line(alert, &group.common_labels));
    }
    if group.truncated_alerts > 0 {
        lines.push(format!("{} more were left out", group.truncated_alerts));
    }
    lines.join("\n")
}

/// `firing: the disk of a is full (instance="a")`.
pub fn line(alert: &Alert, common: &Labels) -> String {
    let own: Labels = alert
        .labels
        .iter()
        .filter(|(name, _)| !common.contains_key(*name))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let summary = if alert.summary().is_empty() { alert.name() } else { alert.summary() };
    let own = if own.is_empty() { String::new() } else { format!(" ({})", labels(&own)) };
    format!("{}: {summary}{own}", alert.status)
}

/// `a="1", b="2"`.
pub fn labels(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    pairs.join(", ")
}

/// The whole message without any markup.
pub fn plain(message: &Message, group: &Group) -> String {
    let (title, text) = (title(message, group), text(message, group));
    let parts = [title.as_str(), text.as_str(), message.url.as_str()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// `#rrggbb` of what fires by its severity, and one colour for what has ended.
pub const fn colour(severity: Severity, is_firing: bool) -> &'static str {
    match (is_firing, severity) {
        (false, _) => "#2eb67d",
        (true, Severity::Critical) => "#b00020",
        (true, Severity::High) => "#e01e5a",
        (true, Severity::Medium) => "#ecb22e",
        (true, Severity::Low) => "#36c5f0",
        (true, Severity::Info) => "#8a8d91",
    }
}

/// At most so many bytes, cut between characters, with a sign that it was.
pub fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()));
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{firing, group};

    #[test]
    fn a_single_event_has_its_own_words() {
        let message = firing();
        let group = Group::of(&message);
        assert_eq!(title(&message, &group), message.title);
        assert_eq!(text(&message, &group), "Reason: above 95\nValue: 97");
    }

    #[test]
    fn a_group_is_counted_and_listed_what_fires_first() {
        let message = group("alerts.firing");
        let group = Group::of(&message);
        assert_eq!(title(&message, &group), "[FIRING:1] DiskFull (high)");
        let listed = "firing: the disk of a is full (instance=\"a\")\nresolved: the disk of b is full (instance=\"b\")";
        assert_eq!(text(&message, &group), listed);
    }

    #[test]
    fn a_group_that_has_ended_says_so() {
        let message = group("alerts.resolved");
        assert_eq!(title(&message, &Group::of(&message)), "[RESOLVED:2] DiskFull (high)");
    }

    #[test]
    fn a_long_list_is_cut_and_the_rest_counted() {
        let message = group("alerts.firing");
        let mut group = Group::of(&message);
        group.alerts = vec![group.alerts[0].clone(); 30];
        assert!(text(&message, &group).ends_with("\n... and 10 more"));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 6), "äöü");
        assert_eq!(cut("äöüß", 6), "ä…");
    }
}
