//! Charts over time: an SVG that is drawn here, with a legend and a table in words. The script adds what the pointer asks for.
//!
//! No text of other origin stands in the SVG. Colours in it are no colours but names (`#000003` is the fourth line), for which the style
//! sheet has one of each theme. `strokes`: what tells lines apart beside that.

mod strokes;

use super::{time, widgets};
use maud::{Markup, PreEscaped, html};
use plotters::coord::types::{RangedCoordf64, RangedCoordi64};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use quarterdeck_model::{Span, Timestamp};
use serde::Serialize;

const SIZE: (u32, u32) = (760, 260);
const LEFT: i32 = 58;
const RIGHT: i32 = 14;
const TOP: i32 = 10;
const BOTTOM: i32 = 26;
const GRID: RGBColor = RGBColor(0, 0, 0xF0);
const AXIS: RGBColor = RGBColor(0, 0, 0xF1);
const TEXT: RGBColor = RGBColor(0, 0, 0xF5);
/// Labels along the time axis, about.
const MOMENTS: u64 = 7;
/// Labels along the other axis, about.
const LEVELS: f64 = 5.0;
/// And never more, whatever the values are.
const LEVELS_MOST: u32 = 16;
/// Beyond it a value is drawn at the edge: differences have to be numbers as well.
const LARGEST: f64 = 1e300;

/// Notes that are shown, and of those on one spot.
const NOTES: usize = 20;
const NOTES_OF_A_SPOT: usize = 3;
/// How wide a spot is, in the drawing: notes that are closer can't be told apart.
const SPOT: i64 = 8;
/// Characters of the title by which a chart is known to those who can't see it.
const NAME: usize = 160;

pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// Of the values; may be empty.
    pub(crate) unit: &'a str,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) lines: Vec<Line>,
    pub(crate) notes: Vec<Note>,
}

pub(crate) struct Line {
    pub(crate) name: String,
    /// In the order of time. What is no number is a gap.
    pub(crate) points: Vec<(Timestamp, f64)>,
}

/// Something that happened, as a line across.
#[derive(Clone)]
pub(crate) struct Note {
    pub(crate) at: Timestamp,
    pub(crate) text: String,
    pub(crate) kind: NoteKind,
    /// Of the object that the note is about; its page is led to, where there is one.
    pub(crate) id: String,
}

impl Note {
    fn page(&self) -> Option<String> {
        let base = super::pages::at(self.kind.path())?;
        (!self.id.is_empty()).then(|| super::address::below(&base, &self.id))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoteKind {
    Deployment,
    Incident,
}

impl NoteKind {
    const fn path(self) -> &'static str {
        match self {
            NoteKind::Deployment => "/deployments",
            NoteKind::Incident => "/incidents",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            NoteKind::Deployment => "deployment",
            NoteKind::Incident => "incident",
        }
    }

    const fn colour(self) -> RGBColor {
        match self {
            NoteKind::Deployment => RGBColor(0, 0, 0xF2),
            NoteKind::Incident => RGBColor(0, 0, 0xF3),
        }
    }
}

/// A note that is shown, and how many others of its spot are not.
struct Told<'a> {
    note: &'a Note,
    more: usize,
}

/// For the script: where the plot is, and the values. Times are the steps from one to the next, which is short.
#[derive(Serialize)]
struct Data {
    from: i64,
    to: i64,
    plot: [i32; 4],
    lines: Vec<DataLine>,
}

#[derive(Serialize)]
struct DataLine {
    t: Vec<i64>,
    v: Vec<Option<f64>>,
}

impl Chart<'_> {
    pub(crate) fn show(&self) -> Markup {
        if !self.lines.iter().any(|line| line.points.iter().any(|(_, value)| value.is_finite())) {
            return html! {
                figure.chart {
                    figcaption { (widgets::clip(self.title)) }
                    div.empty {
                        p { strong { "No values in this time." } }
                        p.muted {
                            "Choose a longer or an earlier one. If there never were any, look at "
                            a href="/console/metrics" { "the metrics that there are" } " and at " a href="/console/jobs" { "the jobs that collect them" } "."
                        }
                    }
                }
            };
        }
        let drawn = match self.draw() {
            Ok(svg) => svg,
            Err(error) => {
                tracing::warn!(%error, "a chart could not be drawn");
                return html! { figure.chart { figcaption { (widgets::clip(self.title)) } (self.table()) } };
            }
        };
        let (notes, others) = self.told();
        html! {
            figure.chart data-chart=(self.data()) {
                figcaption {
                    (widgets::clip(self.title))
                    @if !self.unit.is_empty() { " " span.unit { "in " bdi { (self.unit) } } }
                    " " span.unit data-zone-name { "UTC" }
                    " " span.unit.when {}
                }
                svg role="img" aria-label=(self.name()) viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } {
                    // Made of numbers only, see `draw`.
                    (PreEscaped(drawn))
                }
                ul.legend aria-label="Lines" {
                    @for (index, line) in self.lines.iter().enumerate() {
                        li data-line=(index) { (strokes::key(index)) (widgets::clip(&line.name)) span.now {} }
                    }
                    @for Told { note, more } in notes {
                        li {
                            (strokes::key_of(note.kind.name(), note.kind.colour()))
                            (note.kind.name()) " "
                            @match note.page() {
                                Some(to) => (widgets::link(&to, &note.text)),
                                None => (widgets::clip(&note.text)),
                            }
                            " " (time::at(note.at))
                            @if more > 0 { span.muted { " and " (more) " more then" } }
                        }
                    }
                    @if others > 0 { li.muted { "and " (others) " more, earlier in this time" } }
                }
                // The line that keys have gone to.
                p.visually-hidden role="status" data-told {}
                details { summary { "The same as a table" } (self.table()) }
            }
        }
    }

    /// What it is, and what is in it.
    fn name(&self) -> String {
        let title: String = widgets::plain(self.title).chars().take(NAME).collect();
        let lines = match self.lines.len() {
            1 => "1 line".to_owned(),
            count => format!("{count} lines"),
        };
        let (from, to) = (time::utc(self.from), time::utc(self.to));
        format!("{title}: {lines} from {from} to {to}; the table below says the same")
    }

    /// The notes that are shown, newest first, and how many earlier ones are not.
    fn told(&self) -> (Vec<Told<'_>>, usize) {
        let mut within: Vec<&Note> =
            self.notes.iter().filter(|note| (self.from..=self.to).contains(&note.at)).collect();
        within.sort_by_key(|note| std::cmp::Reverse(note.at));
        let length = (self.to.as_millis() - self.from.as_millis()).max(1);
        let mut told: Vec<Told<'_>> = Vec::new();
        let (mut begin, mut of_spot, mut others) = (i64::MAX, 0, 0);
        for note in within {
            let x = (note.at.as_millis() - self.from.as_millis()) * i64::from(width() - LEFT - RIGHT) / length;
            if begin.saturating_sub(x) < SPOT {
                of_spot += 1;
            } else {
                (begin, of_spot) = (x, 1);
            }
            let is_full = others > 0 || (told.len() == NOTES && of_spot <= NOTES_OF_A_SPOT);
            match told.last_mut() {
                _ if is_full => others += 1,
                Some(last) if of_spot > NOTES_OF_A_SPOT => last.more += 1,
                _ => told.push(Told { note, more: 0 }),
            }
        }
        (told, others)
    }

    fn table(&self) -> Markup {
        widgets::table(
            self.title,
            &["Line", "Values", "First", "Least", "Mean", "Most", "Last"],
            self.lines.iter().map(|line| {
                let values = || line.points.iter().map(|(_, value)| *value).filter(|value| value.is_finite());
                let count = values().count();
                let mean = if count == 0 { f64::NAN } else { values().sum::<f64>() / count as f64 };
                let told = |value: Option<f64>| html! { (value.filter(|value| value.is_finite()).map_or("–".to_owned(), number)) };
                vec![
                    widgets::clip(&line.name),
                    html! { (count) },
                    told(values().next()),
                    told(values().reduce(f64::min)),
                    told(Some(mean)),
                    told(values().reduce(f64::max)),
                    told(values().next_back()),
                ]
            }),
        )
    }

    fn data(&self) -> String {
        let lines = self.lines.iter().map(|line| {
            let mut before = self.from.as_millis();
            let times = line.points.iter().map(|(at, _)| {
                let step = at.as_millis() - before;
                before = at.as_millis();
                step
            });
            let values = line.points.iter().map(|(_, value)| value.is_finite().then(|| rounded(*value)));
            DataLine { t: times.collect(), v: values.collect() }
        });
        let plot = [LEFT, TOP, width() - LEFT - RIGHT, height() - TOP - BOTTOM];
        let data = Data { from: self.from.as_millis(), to: self.to.as_millis(), plot, lines: lines.collect() };
        serde_json::to_string(&data).unwrap_or_default()
    }

    fn draw(&self) -> Result<String, Box<dyn std::error::Error>> {
        let all = || self.lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value));
        let values = || all().filter(|value| value.is_finite()).map(within);
        let (low, high, step) =
            levels(values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let (from, to) = (self.from.as_millis(), self.to.as_millis().max(self.from.as_millis() + 1));
        let mut svg = String::with_capacity(64 << 10);
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let place = (LEFT..width() - RIGHT, height() - BOTTOM..TOP);
            let plot = root.clone().apply_coord_spec(Cartesian2d::<RangedCoordi64, RangedCoordf64>::new(
                from..to,
                low..high,
                place,
            ));
            let y_label = ("sans-serif", 13).into_font().color(&TEXT).pos(Pos::new(HPos::Right, VPos::Center));
            for level in (0..LEVELS_MOST)
                .map(|count| low + f64::from(count) * step)
                .take_while(|level| *level <= high + step / 2.0)
            {
                plot.draw(&PathElement::new(vec![(from, level), (to, level)], GRID))?;
                let (_, y) = plot.map_coordinate(&(from, level));
                root.draw_text(&number(level), &y_label, (LEFT - 8, y))?;
            }
            plot.draw(&PathElement::new(vec![(from, low), (to, low)], AXIS))?;
            for Told { note, .. } in self.told().0 {
                let at = note.at.as_millis();
                plot.draw(&PathElement::new(vec![(at, low), (at, high)], note.kind.colour().stroke_width(2)))?;
            }
            for (index, line) in self.lines.iter().enumerate() {
                let (colour, of_point) = (strokes::placeholder(index), strokes::placeholder_of_point(index));
                for stretch in line.points.split(|(_, value)| !value.is_finite()).filter(|stretch| !stretch.is_empty())
                {
                    let points: Vec<_> =
                        stretch.iter().map(|(at, value)| (at.as_millis().clamp(from, to), within(*value))).collect();
                    match points.as_slice() {
                        [only] => plot.draw(&Circle::new(*only, 2, of_point.stroke_width(2)))?,
                        _ => plot.draw(&PathElement::new(points, colour.stroke_width(2)))?,
                    }
                }
            }
            root.present()?;
        }
        let drawn = strokes::put(within_svg(&svg)?, self.lines.len());
        Ok(format!("{drawn}<g class=\"moments\">{}</g>", within_svg(&time_axis(from, to)?)?))
    }
}

/// What a drawing holds, without the element around it.
fn within_svg(svg: &str) -> Result<&str, &'static str> {
    let inner = svg.split_once('>').and_then(|(_, inner)| inner.rsplit_once("</svg>"));
    inner.map(|(inner, _)| inner).ok_or("no drawing")
}

/// The moments along the axis, in UTC. They stand by themselves: where another zone was chosen, the script puts others there.
fn time_axis(from: i64, to: i64) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let label = ("sans-serif", 13).into_font().color(&TEXT).pos(Pos::new(HPos::Center, VPos::Top));
        let (y, length, time) = (height() - BOTTOM, i64::from(width() - LEFT - RIGHT), (to - from).max(1));
        for (at, text) in moments(Timestamp::from_millis(from), Timestamp::from_millis(to)) {
            let x = LEFT + i32::try_from((2 * (at - from) * length + time) / (2 * time)).unwrap_or_default();
            root.draw(&PathElement::new(vec![(x, y), (x, y + 4)], AXIS))?;
            root.draw_text(&text, &label, (x, y + 7))?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn within(value: f64) -> f64 {
    value.clamp(-LARGEST, LARGEST)
}

fn width() -> i32 {
    i32::try_from(SIZE.0).unwrap_or(i32::MAX)
}

fn height() -> i32 {
    i32::try_from(SIZE.1).unwrap_or(i32::MAX)
}

/// Four digits are more than a chart shows.
fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let scale = 10_f64.powf(5.0 - value.abs().log10().ceil());
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded } else { value }
}

/// The axis of values: its ends, and the step from one label to the next, which is 1, 2 or 5 of a power of ten.
fn levels(least: f64, most: f64) -> (f64, f64, f64) {
    // What is never negative is shown from zero, unless it hardly moves far above it.
    let least = if least > 0.0 && least < most * 0.7 { 0.0 } else { least };
    let (least, most) = if most > least {
        (least, most)
    } else {
        (least - least.abs().max(1.0) * 0.1, most + most.abs().max(1.0) * 0.1)
    };
    let rough = ((most - least) / LEVELS).clamp(f64::MIN_POSITIVE, f64::MAX / 100.0);
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= rough).unwrap_or(rough);
    let step = if step.is_finite() && step > 0.0 && least + step > least { step } else { (most - least).max(1.0) };
    ((least / step).floor() * step, (most / step).ceil() * step, step)
}

/// A value as a label: short, with a letter for thousands.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let (divided, letter) = match size {
        1e15.. => return format!("{value:.1e}"),
        1e12.. => (value / 1e12, "T"),
        1e9.. => (value / 1e9, "G"),
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ if size > 0.0 && size < 1e-3 => return format!("{value:.1e}"),
        _ => (value, ""),
    };
    let text = format!("{divided:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    // Steps of 0.1 add up to what is almost zero.
    format!("{}{letter}", if text == "-0" { "0" } else { text })
}

/// Moments for the time axis, at whole minutes, hours or days in UTC.
fn moments(from: Timestamp, to: Timestamp) -> Vec<(i64, String)> {
    const STEPS: [u64; 16] =
        [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000];
    let wanted = to.since(from).as_millis() / MOMENTS;
    let step = STEPS.into_iter().map(|seconds| seconds * 1000).find(|step| *step >= wanted).unwrap_or(wanted.max(1));
    let size = i64::try_from(step).unwrap_or(i64::MAX);
    let mut at = from.as_millis().div_euclid(size).saturating_add(1).saturating_mul(size);
    let mut found = Vec::new();
    while at <= to.as_millis() && found.len() < 32 {
        let full = Timestamp::from_millis(at).to_string();
        let clock = if step < 60_000 { full.get(11..19) } else { full.get(11..16) };
        let is_day = at.rem_euclid(86_400_000) == 0;
        let label = if is_day { full.get(5..10) } else { clock };
        found.push((at, label.unwrap_or_default().to_owned()));
        at = at.saturating_add(size);
    }
    found
}

/// The time that is looked at: by `range` (`1h`, up to now) or by `from` and `to`.
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Window {
    pub(crate) fn of(params: &crate::extract::Params, now: Timestamp, otherwise: Span) -> Result<Self, crate::Problem> {
        let moment = |name: &str| params.parsed(name, "a time like `2026-09-21T14:00:00Z`", moment);
        let range = params.parsed("range", "a span like `1h`", Span::parse)?.unwrap_or(otherwise);
        let to = moment("to")?.unwrap_or(now);
        let from = moment("from")?.unwrap_or_else(|| to.minus(range));
        if from >= to {
            return Err(crate::extract::bad("from", "it is not before `to`"));
        }
        Ok(Window { from, to })
    }
}

/// As in RFC 3339; without a zone, and down to the minute only, it is one in UTC.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    let joined = text.trim().replace(' ', "T");
    let or = |end: &str| Timestamp::parse(&format!("{joined}{end}"));
    or("").or_else(|| or("Z")).or_else(|| or(":00Z")).or_else(|| or("T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const FROM: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn day(lines: usize) -> Chart<'static> {
        let line = |index: usize| Line {
            name: format!("<line {index}>"),
            points: (0..300_u64)
                .map(|point| (FROM.plus(Span::from_secs(point * 288)), (point as f64 / 20.0).sin() + index as f64))
                .collect(),
        };
        let note = Note {
            at: FROM.plus(Span::from_secs(3600)),
            text: "shop <r2>".to_owned(),
            kind: NoteKind::Deployment,
            id: String::new(),
        };
        Chart {
            title: "CPU",
            unit: "%",
            from: FROM,
            to: FROM.plus(Span::from_secs(86_400)),
            lines: (0..lines).map(line).collect(),
            notes: vec![note],
        }
    }

    #[test]
    fn ten_lines_of_a_day_are_drawn_in_time() {
        day(10).show();
        let fastest = (0..5).map(|_| {
            let started = Instant::now();
            let shown = day(10).show().into_string();
            assert!(shown.len() < 200_000, "{}", shown.len());
            started.elapsed()
        });
        let fastest = fastest.min().unwrap();
        assert!(fastest.as_millis() < 100, "{fastest:?}");
    }

    #[test]
    fn a_chart_has_axes_a_legend_notes_and_a_table() {
        let shown = day(2).show().into_string();
        for expected in [
            "#000000",
            "#000001",
            "#0000F2",
            "&lt;line 1&gt;",
            "shop &lt;r2&gt;",
            "09-22",
            "<details>",
            "data-chart",
            "data-zone-name",
            "<g class=\"moments\">",
            "<text x=\"50\" y=\"10\"",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        let highest = shown.split("<text x=\"50\" y=\"10\"").nth(1).unwrap().split('>').nth(1).unwrap();
        assert_eq!(highest.trim().trim_end_matches("</text").trim(), "2", "the largest value is at the top");
        assert_eq!(
            shown.matches("stroke-dasharray=\"10 4\"").count(),
            2,
            "the line, and the piece of it beside its name: {shown}"
        );
        for unwanted in ["style=", "<line 1>", "#000002", "#0100", "#0200", "<script"] {
            assert!(!shown.contains(unwanted), "{unwanted}");
        }
    }

    #[test]
    fn of_many_notes_on_one_spot_three_are_shown_and_the_others_counted() {
        let mut chart = day(1);
        let note = |seconds: u64| Note {
            at: FROM.plus(Span::from_secs(seconds)),
            text: format!("at {seconds}"),
            kind: NoteKind::Incident,
            id: String::new(),
        };
        chart.notes = (0..9).map(note).chain([note(40_000), note(200_000)]).collect();
        let shown = chart.show().into_string();
        let told = |text: &str| shown.contains(&format!(">{text}</bdi>"));
        assert!(told("at 8") && told("at 6") && told("at 40000"), "{shown}");
        assert!(!told("at 5") && !told("at 200000") && shown.contains(" and 6 more then"), "{shown}");
        assert_eq!(shown.matches("stroke=\"#0000F3\"").count(), 8, "a line for each, and one beside its text: {shown}");
        chart.notes = (0..30).map(|count| note(count * 2_000)).collect();
        assert_eq!((chart.told().0.len(), chart.told().1), (20, 10));
    }

    #[test]
    fn a_chart_is_known_by_its_title_and_says_when_it_is_empty() {
        let mut chart = day(2);
        chart.title = "<CPU> \"\u{202e}";
        let shown = chart.show().into_string();
        let name = "aria-label=\"&lt;CPU&gt; &quot;\u{fffd}: 2 lines from 2026-09-21 14:13:20 UTC to 2026-09-22 14:13:20 UTC; the table below says the same\"";
        assert!(shown.contains(name), "{shown}");
        chart.lines.clear();
        let shown = chart.show().into_string();
        assert!(shown.contains("No values in this time") && shown.contains("href=\"/console/metrics\""), "{shown}");
    }

    #[test]
    fn what_is_no_number_is_a_gap_and_nothing_at_all_is_said() {
        let mut chart = day(1);
        chart.lines[0].points[100].1 = f64::NAN;
        let shown = chart.show().into_string();
        assert_eq!(shown.matches("stroke=\"#000000\" data-line=\"0\"").count(), 2, "{shown}");
        chart.lines[0].points.iter_mut().for_each(|point| point.1 = f64::NAN);
        assert!(chart.show().into_string().contains("No values in this time"));
        chart.lines[0].points = vec![(FROM, f64::MAX), (FROM.plus(Span::from_secs(1)), f64::MIN)];
        chart.show();
    }

    #[test]
    fn labels_are_round() {
        for (least, most, expected) in
            [(0.0, 97.0, (0.0, 100.0, 20.0)), (3.0, 3.0, (2.7, 3.3000000000000003, 0.2)), (-5.0, 5.0, (-6.0, 6.0, 2.0))]
        {
            let (low, high, step) = levels(least, most);
            assert!(low <= least && high >= most, "{low} {high}");
            assert!((step - expected.2).abs() < 1e-9, "{step}");
        }
        for (value, told) in [
            (0.0, "0"),
            (12_000.0, "12k"),
            (1.5e9, "1.5G"),
            (0.25, "0.25"),
            (0.00001, "1.0e-5"),
            (-0.0001e-3, "-1.0e-7"),
        ] {
            assert_eq!(number(value), told);
        }
    }

    #[test]
    fn the_time_axis_has_whole_hours_and_days() {
        let labels: Vec<_> =
            moments(FROM, FROM.plus(Span::from_secs(86_400))).into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["18:00", "09-22", "06:00", "12:00"]);
    }
}
