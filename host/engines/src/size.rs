//! How large something is once it is written as JSON, which is what the store counts; and how it is made to fit.

use quarterdeck_model::label::Labels;
use serde::Serialize;
use std::io;

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of its JSON. What can't be written as JSON fits nowhere.
pub(crate) fn encoded<T: Serialize + ?Sized>(value: &T) -> usize {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).map_or(usize::MAX, |()| counter.0)
}

/// As much of the text as takes at most so many bytes in JSON, without its quotes.
pub(crate) fn cut(text: &str, room: usize) -> &str {
    let mut left = room;
    for (at, char) in text.char_indices() {
        let bytes = match char {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..='\u{1f}' => 6,
            _ => char.len_utf8(),
        };
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return text.get(..at).unwrap_or_default(),
        }
    }
    text
}

/// The same, and that it was cut is seen.
pub(crate) fn cut_visibly(text: &str, room: usize) -> String {
    match cut(text, room) {
        whole if whole.len() == text.len() => text.to_owned(),
        _ => format!("{}...", cut(text, room.saturating_sub(3))),
    }
}

/// The labels, if they take at most so many bytes. Else their values are cut to an eighth of that, and those that don't fit even so are left out.
pub(crate) fn labels(all: &Labels, room: usize) -> Labels {
    if encoded(all) <= room {
        return all.clone();
    }
    let mut left = room.saturating_sub(2);
    let mut kept = Labels::new();
    for (name, value) in all.iter() {
        let value = cut_visibly(value, room / 8);
        let bytes = encoded(name).saturating_add(encoded(&value)).saturating_add(2);
        if let Some(rest) = left.checked_sub(bytes) {
            left = rest;
            kept.insert(name, value);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_what_is_written() {
        for text in ["", "plain", "\"quoted\"\\", "\u{1}\u{2}\n", "\u{e4}\u{1f600}"] {
            assert_eq!(encoded(text), serde_json::to_string(text).unwrap().len(), "{text:?}");
        }
    }

    #[test]
    fn a_text_is_cut_by_its_bytes_in_json_and_between_letters() {
        for text in ["plain text", "\"\"\"\"\"\"", "\u{1}\u{1}\u{1}", "\u{e4}\u{e4}\u{e4}\u{e4}", "a\nb\nc\n"] {
            for room in 0..20 {
                let cut = cut(text, room);
                assert!(text.starts_with(cut) && encoded(cut) - 2 <= room, "{text:?} {room}");
                let next = text[cut.len()..].chars().next();
                assert!(next.is_none_or(|next| encoded(&format!("{cut}{next}")) - 2 > room), "{text:?} {room}");
                assert!(encoded(&cut_visibly(text, room)) - 2 <= room.max(3));
            }
        }
        assert_eq!(cut_visibly("plain text", 8), "plain...");
    }

    #[test]
    fn labels_that_are_too_large_keep_their_names_and_the_beginnings_of_their_values() {
        let all: Labels = (0..20).map(|n| (format!("n{n:02}"), "\u{1}".repeat(100 * n))).collect();
        let kept = labels(&all, 2_000);
        assert!(encoded(&kept) <= 2_000, "{}", encoded(&kept));
        assert_eq!((kept.get("n00"), kept.get("n05")), (Some(""), Some(&*format!("{}...", "\u{1}".repeat(41)))));
        assert_eq!(labels(&all, 1 << 20), all);
        assert_eq!(labels(&all, 0), Labels::new());
    }
}
