//! What tells the lines of a chart apart: a colour and a pattern of dashes each, in the plot and beside the line's name. Whoever sees no
//! colours has the dashes; those beyond the tenth line share colours with the first ones, and no line shares both.
//!
//! What draws can't write dashes. So it writes each line in a colour that stands for its number, and that is put in place here.

use maud::{Markup, html};
use plotters::style::RGBColor;

/// Lines that differ by their colour alone.
pub(super) const COLOURS: usize = 10;
/// Of the parts of a line and the gaps between them; nothing is a line without gaps. Each is known by its rhythm, not by a small difference
/// in length.
const DASHES: [&str; COLOURS] =
    ["", "10 4", "2 4", "10 4 2 4", "5 5", "10 4 2 4 2 4", "20 5", "2 9", "20 5 5 5", "5 3 5 10"];

/// What a line is drawn in until [`put`]: its number in a colour that nothing else has.
pub(super) fn placeholder(line: usize) -> RGBColor {
    let [.., high, low] = line.to_be_bytes();
    RGBColor(1, high, low)
}

/// The same where it is a single point, which has no room for dashes.
pub(super) fn placeholder_of_point(line: usize) -> RGBColor {
    let RGBColor(_, high, low) = placeholder(line);
    RGBColor(2, high, low)
}

/// Gives the lines of a drawing their strokes, and their number for the script.
pub(super) fn put(drawn: &str, lines: usize) -> String {
    let mut rest = drawn;
    let mut all = String::with_capacity(drawn.len() + 4096);
    while let Some((before, after)) = rest.split_once("stroke=\"#") {
        all.push_str(before);
        let found = (0..lines).find_map(|line| {
            let of = |RGBColor(kind, high, low): RGBColor| format!("{kind:02X}{high:02X}{low:02X}\"");
            let is_line = after.strip_prefix(&of(placeholder(line))).map(|rest| (line, dashes(line), rest));
            is_line.or_else(|| after.strip_prefix(&of(placeholder_of_point(line))).map(|rest| (line, "", rest)))
        });
        match found {
            Some((line, dashes, behind)) => {
                all.push_str(&format!("stroke=\"{}\" data-line=\"{line}\"", colour(line)));
                if !dashes.is_empty() {
                    all.push_str(&format!(" stroke-dasharray=\"{dashes}\""));
                }
                rest = behind;
            }
            None => {
                all.push_str("stroke=\"#");
                rest = after;
            }
        }
    }
    all.push_str(rest);
    all
}

/// What stands before the name of a line: a piece of it.
pub(super) fn key(line: usize) -> Markup {
    let dashes = Some(dashes(line)).filter(|dashes| !dashes.is_empty());
    piece(&format!("key key-{}", line % COLOURS), &colour(line), dashes)
}

/// The same of another stroke that the style sheet knows.
pub(super) fn key_of(name: &str, RGBColor(red, green, blue): RGBColor) -> Markup {
    piece(&format!("key key-{name}"), &format!("#{red:02X}{green:02X}{blue:02X}"), None)
}

fn piece(class: &str, stroke: &str, dashes: Option<&str>) -> Markup {
    html! {
        svg class=(class) viewBox="0 0 34 6" aria-hidden="true" {
            line x1="0" y1="3" x2="34" y2="3" stroke=(stroke) stroke-width="3" stroke-dasharray=[dashes] {}
        }
    }
}

/// No colour but the name of one.
fn colour(line: usize) -> String {
    format!("#{:06X}", line % COLOURS)
}

fn dashes(line: usize) -> &'static str {
    // The eleventh line has the first colour again, and the second pattern.
    DASHES.get((line + line / COLOURS) % COLOURS).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_lines_have_colour_and_dashes_in_common_and_ten_have_neither() {
        let all: BTreeSet<_> = (0..100).map(|line| (colour(line), dashes(line))).collect();
        assert_eq!(all.len(), 100);
        let first: Vec<_> = (0..COLOURS).map(|line| (colour(line), dashes(line))).collect();
        assert_eq!(first.iter().map(|(colour, _)| colour).collect::<BTreeSet<_>>().len(), COLOURS);
        assert_eq!(first.iter().map(|(_, dashes)| dashes).collect::<BTreeSet<_>>().len(), COLOURS);
    }

    #[test]
    fn each_line_of_a_drawing_gets_its_stroke_and_the_rest_stays() {
        let drawn =
            "<line stroke=\"#0000F0\"/><polyline stroke=\"#01000B\" points=\"\"/><circle stroke=\"#020001\"/>\n";
        assert_eq!(
            put(drawn, 12),
            "<line stroke=\"#0000F0\"/><polyline stroke=\"#000001\" data-line=\"11\" stroke-dasharray=\"2 4\" points=\"\"/>\
             <circle stroke=\"#000001\" data-line=\"1\"/>\n"
        );
    }
}
