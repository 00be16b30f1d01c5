//! Names and values of labels, each text once.

use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Symbols {
    texts: Vec<Text>,
    /// By a hash with a key of this process: what is sent in can't make texts collide.
    places: HashTable<u32>,
    free: Vec<u32>,
    hasher: RandomState,
}

struct Text {
    text: Arc<str>,
    uses: u32,
    /// The newest segment of the log that has it.
    defined_in: u32,
}

impl Symbols {
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.places.find(self.hasher.hash_one(text), |place| self.text(*place) == text).copied()
    }

    /// The text's number. It stays until it is released as often as it was taken.
    pub(crate) fn take(&mut self, text: &str) -> u32 {
        if let Some(symbol) = self.find(text) {
            if let Some(text) = self.texts.get_mut(symbol as usize) {
                text.uses += 1;
            }
            return symbol;
        }
        let new = Text { text: Arc::from(text), uses: 1, defined_in: 0 };
        let symbol = match self.free.pop() {
            Some(symbol) => {
                if let Some(place) = self.texts.get_mut(symbol as usize) {
                    *place = new;
                }
                symbol
            }
            None => {
                self.texts.push(new);
                (self.texts.len() - 1) as u32
            }
        };
        let (texts, hasher) = (&self.texts, &self.hasher);
        let hash = |symbol: &u32| hasher.hash_one(texts.get(*symbol as usize).map_or("", |text| &*text.text));
        self.places.insert_unique(hasher.hash_one(text), symbol, hash);
        symbol
    }

    pub(crate) fn release(&mut self, symbol: u32) {
        let Some(text) = self.texts.get_mut(symbol as usize) else { return };
        text.uses = text.uses.saturating_sub(1);
        if text.uses > 0 {
            return;
        }
        let gone = std::mem::replace(&mut text.text, Arc::from(""));
        if let Ok(entry) = self.places.find_entry(self.hasher.hash_one(&*gone), |place| *place == symbol) {
            entry.remove();
            self.free.push(symbol);
        }
    }

    pub(crate) fn text(&self, symbol: u32) -> &str {
        self.texts.get(symbol as usize).map_or("", |text| &text.text)
    }

    /// The text, if that segment of the log does not have it yet. From here on it does.
    pub(crate) fn define(&mut self, symbol: u32, segment: u32) -> Option<&str> {
        let text = self.texts.get_mut(symbol as usize).filter(|text| text.defined_in != segment)?;
        text.defined_in = segment;
        Some(&text.text)
    }

    /// All of them, by number. Those that are free are empty.
    pub(crate) fn all(&self) -> Vec<Arc<str>> {
        self.texts.iter().map(|text| Arc::clone(&text.text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_until_nobody_uses_it() {
        let mut symbols = Symbols::default();
        let numbers: Vec<u32> = (0..1_000).map(|n| symbols.take(&format!("value {n}"))).collect();
        assert_eq!(symbols.take("value 7"), numbers[7]);
        symbols.release(numbers[7]);
        assert_eq!(symbols.find("value 7"), Some(numbers[7]), "it is still used once");
        symbols.release(numbers[7]);
        assert_eq!(symbols.find("value 7"), None);
        assert_eq!(symbols.take("another"), numbers[7], "its place is used again");
        assert_eq!(symbols.text(numbers[8]), "value 8");
        assert_eq!(symbols.find("value 999"), Some(numbers[999]));
        let empty = symbols.take("");
        assert_eq!(symbols.find(""), Some(empty));
    }
}
