//! The texts of a block, sorted: each is what it has in common with the one before, and the rest. Every sixteenth is whole, and found by
//! its place.

use crate::codec::{Input, put_bytes, put_uint};

pub(crate) const GROUP: u32 = 16;

/// `texts` are sorted, each once.
pub(crate) fn encode<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let (mut places, mut data, mut before, mut count) = (Vec::new(), Vec::new(), "", 0u32);
    for text in texts {
        if count % GROUP == 0 {
            places.extend_from_slice(&(data.len() as u32).to_le_bytes());
            put_bytes(&mut data, text.as_bytes());
        } else {
            let shared = text.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
            put_uint(&mut data, shared as u64);
            put_bytes(&mut data, text.as_bytes().get(shared..).unwrap_or_default());
        }
        before = text;
        count += 1;
    }
    [&count.to_le_bytes(), &*places, &*data].concat()
}

/// Walks over the texts; forwards it is quick.
pub(crate) struct Texts<'a> {
    count: u32,
    places: &'a [u8],
    data: &'a [u8],
    /// The one that was read last.
    number: u32,
    text: Vec<u8>,
    rest: Input<'a>,
}

impl<'a> Texts<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count);
        let (places, data) = rest.split_at_checked(count.div_ceil(GROUP) as usize * 4)?;
        Some(Texts { count, places, data, number: u32::MAX, text: Vec::new(), rest: Input::new(&[]) })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    fn start(&mut self, group: u32) -> Option<()> {
        let place = self.places.get(group as usize * 4..)?.first_chunk::<4>()?;
        self.rest = Input::new(self.data.get(u32::from_le_bytes(*place) as usize..)?);
        self.text.clear();
        self.text.extend_from_slice(self.rest.bytes()?);
        self.number = group * GROUP;
        Some(())
    }

    fn step(&mut self) -> Option<()> {
        let shared = usize::try_from(self.rest.uint()?).ok()?;
        if shared > self.text.len() {
            return None;
        }
        self.text.truncate(shared);
        self.text.extend_from_slice(self.rest.bytes()?);
        self.number += 1;
        Some(())
    }

    pub(crate) fn get(&mut self, number: u32) -> Option<&str> {
        if number >= self.count {
            return None;
        }
        let here = self.number != u32::MAX && self.number <= number && self.number / GROUP == number / GROUP;
        if !here {
            self.start(number / GROUP)?;
        }
        while self.number < number {
            self.step()?;
        }
        std::str::from_utf8(&self.text).ok()
    }

    /// The number of a text, if it is there. `Err`: it can't be read.
    pub(crate) fn find(&mut self, wanted: &str) -> Result<Option<u32>, ()> {
        let (mut low, mut high) = (0, self.count.div_ceil(GROUP));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle * GROUP).ok_or(())? <= wanted { low = middle + 1 } else { high = middle }
        }
        let Some(group) = low.checked_sub(1) else { return Ok(None) };
        for number in group * GROUP..(group * GROUP).saturating_add(GROUP).min(self.count) {
            match self.get(number).ok_or(())?.cmp(wanted) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(number)),
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_number_and_by_themselves() {
        for count in [0u32, 1, 15, 16, 17, 1_000] {
            let texts: Vec<String> = (0..count).map(|n| format!("label-{:04}", n * 3)).collect();
            let bytes = encode(texts.iter().map(String::as_str));
            let mut read = Texts::new(&bytes).unwrap();
            for number in (0..count).chain((0..count).rev()).chain((0..count).step_by(7)) {
                assert_eq!(read.get(number), Some(texts[number as usize].as_str()));
            }
            assert_eq!(read.get(count), None);
            for n in 0..count * 3 {
                let expected = (n % 3 == 0).then_some(n / 3);
                assert_eq!(read.find(&format!("label-{n:04}")), Ok(expected));
            }
            assert_eq!((read.find(""), read.find("z")), (Ok(None), Ok(None)));
            assert!(count < 1_000 || bytes.len() < 8_000, "{}", bytes.len());
        }
    }

    #[test]
    fn parts_of_letters_are_shared_and_come_back_whole() {
        let texts = ["", "grüß", "grün", "日本", "日曜"];
        let mut sorted = texts.to_vec();
        sorted.sort_unstable();
        let bytes = encode(sorted.iter().copied());
        let mut read = Texts::new(&bytes).unwrap();
        for (number, text) in sorted.iter().enumerate() {
            assert_eq!(read.get(number as u32), Some(*text));
        }
    }
}
