//! Files of commands: `load`, `clear`, `eval`.

use quarterdeck_model::label::Labels;
use quarterdeck_promql::notation::{Item, parse_number, parse_series};
use quarterdeck_promql::parse_duration;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Case>),
}

#[derive(Default)]
pub(crate) struct Load {
    pub(crate) step: i64,
    pub(crate) series: Vec<(Arc<Labels>, Vec<Item>)>,
    /// The classic histograms among the series are native ones as well.
    pub(crate) with_native: bool,
    /// There are start timestamps.
    pub(crate) with_starts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// How a message is compared.
pub(crate) enum Message {
    Any,
    Exactly(String),
    Pattern(Regex),
}

impl Message {
    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Message::Any => true,
            Message::Exactly(wanted) => wanted == text,
            Message::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) ordered: bool,
    pub(crate) fail: Option<Message>,
    pub(crate) warn: Vec<Message>,
    pub(crate) info: Vec<Message>,
    pub(crate) no_warn: bool,
    pub(crate) no_info: bool,
    pub(crate) scalar: Option<f64>,
    pub(crate) text: Option<String>,
    /// With their positions.
    pub(crate) series: BTreeMap<Arc<Labels>, (usize, Vec<Item>)>,
    /// Times of a range vector's samples.
    pub(crate) range_vector: Option<(i64, i64, i64)>,
    pub(crate) histograms: bool,
}

pub(crate) struct Case {
    pub(crate) line: usize,
    pub(crate) query: String,
    pub(crate) when: When,
    pub(crate) expected: Expected,
}

pub(crate) fn parse(text: &str) -> Result<Vec<Command>, String> {
    let lines: Vec<&str> = text.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut commands = Vec::new();
    let mut index = 0;
    while let Some(line) = lines.get(index) {
        let number = index + 1;
        index += 1;
        if line.is_empty() {
            continue;
        }
        let block: Vec<&str> = lines.iter().skip(index).take_while(|line| !line.is_empty()).copied().collect();
        let word = line.split_whitespace().next().unwrap_or_default();
        let command = match word {
            "clear" => Ok(Command::Clear),
            "load" | "load_with_nhcb" => {
                index += block.len();
                load(line, &block)
            }
            word if word.starts_with("eval") => {
                index += block.len();
                eval(line, number, &block).map(|case| Command::Eval(Box::new(case)))
            }
            _ => Err("not a command".to_owned()),
        };
        commands.push(command.map_err(|e| format!("line {number}: {e}: {line}"))?);
    }
    Ok(commands)
}

fn load(line: &str, block: &[&str]) -> Result<Command, String> {
    let step = line.split_whitespace().nth(1).and_then(parse_duration).ok_or("no step")?;
    let mut load = Load { step, with_native: line.starts_with("load_with_nhcb"), ..Load::default() };
    for line in block {
        if line.split_whitespace().next().is_some_and(|name| name.ends_with("@st")) {
            load.with_starts = true;
        } else {
            load.series.push(parse_series(line)?);
        }
    }
    Ok(Command::Load(load))
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

fn eval(line: &str, number: usize, block: &[&str]) -> Result<Case, String> {
    let instant = regex(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$");
    let range = regex(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$");
    let duration = |text: &str| parse_duration(text).ok_or_else(|| format!("`{text}` is no duration"));
    let (mode, when, query) = if let Some(parts) = instant.captures(line) {
        let when = When::Instant(duration(parts.get(2).map_or("0", |at| at.as_str()))?);
        (parts.get(1), when, parts.get(3))
    } else if let Some(parts) = range.captures(line) {
        let at = |index: usize| duration(parts.get(index).map_or("", |part| part.as_str()));
        (parts.get(1), When::Range { start: at(2)?, end: at(3)?, step: at(4)? }, parts.get(5))
    } else {
        return Err("no evaluation".to_owned());
    };
    let mut expected = Expected::default();
    match mode.map(|mode| mode.as_str()) {
        Some("fail") => expected.fail = Some(Message::Any),
        Some("warn") => expected.warn.push(Message::Any),
        Some("info") => expected.info.push(Message::Any),
        Some("ordered") => expected.ordered = true,
        _ => {}
    }
    for line in block {
        expect(line, &mut expected)?;
    }
    let query = query.map_or("", |query| query.as_str()).to_owned();
    Ok(Case { line: number, query, when, expected })
}

fn expect(line: &str, expected: &mut Expected) -> Result<(), String> {
    if let Some(message) = line.strip_prefix("expected_fail_message") {
        expected.fail = Some(Message::Exactly(message.trim().to_owned()));
    } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
        expected.fail = Some(Message::Pattern(regex(pattern.trim())));
    } else if let Some(text) = line.strip_prefix("expect string") {
        let text = text.trim();
        expected.text = Some(text[1..text.len() - 1].to_owned());
    } else if let Some(parts) = regex(r"^expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$").captures(line) {
        let at = |index: usize| parse_duration(&parts[index]).ok_or("no duration");
        expected.range_vector = Some((at(1)?, at(2)?, at(3)?));
    } else if line.split_whitespace().next() == Some("expect") {
        expect_note(line, expected)?;
    } else if let Some(value) = parse_number(line) {
        expected.scalar = Some(value);
    } else {
        let (labels, items) = parse_series(line)?;
        expected.histograms |= items.contains(&Item::Histogram);
        let position = expected.series.len();
        expected.series.insert(labels, (position, items));
    }
    Ok(())
}

fn expect_note(line: &str, expected: &mut Expected) -> Result<(), String> {
    let pattern = regex(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$");
    let parts = pattern.captures(line).ok_or("not an expectation")?;
    let text = parts.get(3).map_or("", |text| text.as_str().trim());
    let message = match parts.get(2).map(|kind| kind.as_str()) {
        Some("msg") => Message::Exactly(text.to_owned()),
        Some(_) => Message::Pattern(Regex::new(text).map_err(|e| e.to_string())?),
        None => Message::Any,
    };
    match &parts[1] {
        "ordered" => expected.ordered = true,
        "fail" => expected.fail = Some(message),
        "warn" => expected.warn.push(message),
        "info" => expected.info.push(message),
        "no_warn" => expected.no_warn = true,
        _ => expected.no_info = true,
    }
    Ok(())
}
