//! Memory of the newest samples: blocks of one size, chained. Many thousands of series grow by some bytes each, all the time: as lists of
//! their own they would leave holes that nothing fits into.

/// Its first four bytes are the number of the next one.
const BLOCK: usize = 64;
const LINK: usize = 4;
const ROOM: usize = BLOCK - LINK;
const PAGE: usize = 1_024;
const NONE: u32 = u32::MAX;

type Block = [u8; BLOCK];

pub(crate) struct Arena {
    pages: Vec<Box<[Block]>>,
    /// The first of those that nobody uses.
    free: u32,
}

/// Bytes of one series.
pub(crate) struct Chain {
    first: u32,
    last: u32,
    length: u32,
}

impl Default for Chain {
    fn default() -> Self {
        Chain { first: NONE, last: NONE, length: 0 }
    }
}

impl Default for Arena {
    fn default() -> Self {
        Arena { pages: Vec::new(), free: NONE }
    }
}

impl Arena {
    fn block(&self, number: u32) -> Option<&Block> {
        self.pages.get(number as usize / PAGE)?.get(number as usize % PAGE)
    }

    fn block_mut(&mut self, number: u32) -> Option<&mut Block> {
        self.pages.get_mut(number as usize / PAGE)?.get_mut(number as usize % PAGE)
    }

    fn next(&self, number: u32) -> u32 {
        self.block(number).and_then(|block| block.first_chunk::<LINK>()).map_or(NONE, |link| u32::from_le_bytes(*link))
    }

    fn link(&mut self, number: u32, next: u32) {
        if let Some(link) = self.block_mut(number).and_then(|block| block.first_chunk_mut::<LINK>()) {
            *link = next.to_le_bytes();
        }
    }

    fn take(&mut self) -> u32 {
        if self.free == NONE {
            let start = (self.pages.len() * PAGE) as u32;
            self.pages.push(vec![[0; BLOCK]; PAGE].into());
            // The last one is linked to none.
            for number in start..start + PAGE as u32 - 1 {
                self.link(number, number + 1);
            }
            self.link(start + PAGE as u32 - 1, NONE);
            self.free = start;
        }
        let taken = self.free;
        self.free = self.next(taken);
        taken
    }

    pub(crate) fn append(&mut self, chain: &mut Chain, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = chain.length as usize % ROOM;
            if used == 0 {
                let new = self.take();
                self.link(new, NONE);
                if chain.first == NONE {
                    chain.first = new;
                } else {
                    self.link(chain.last, new);
                }
                chain.last = new;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(ROOM - used));
            let room = self.block_mut(chain.last).and_then(|block| block.get_mut(LINK + used..LINK + used + now.len()));
            if let Some(room) = room {
                room.copy_from_slice(now);
            }
            chain.length += now.len() as u32;
            bytes = rest;
        }
    }

    pub(crate) fn read(&self, chain: &Chain) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(chain.length as usize);
        let mut number = chain.first;
        while let Some(block) = self.block(number) {
            let left = (chain.length as usize - bytes.len()).min(ROOM);
            bytes.extend_from_slice(block.get(LINK..LINK + left).unwrap_or_default());
            number = self.next(number);
        }
        bytes
    }

    pub(crate) fn free(&mut self, chain: &mut Chain) {
        if chain.first != NONE {
            self.link(chain.last, self.free);
            self.free = chain.first;
        }
        *chain = Chain::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::testing::Random;

    #[test]
    fn chains_keep_their_own_bytes_and_freed_blocks_are_used_again() {
        let mut random = Random::new(9);
        let mut arena = Arena::default();
        let mut chains: Vec<(Chain, Vec<u8>)> = (0..200).map(|_| Default::default()).collect();
        for _ in 0..50_000 {
            let (chain, expected) = &mut chains[random.below(200) as usize];
            if random.below(40) == 0 {
                arena.free(chain);
                expected.clear();
            } else {
                let bytes: Vec<u8> = (0..random.below(22)).map(|_| random.next() as u8).collect();
                arena.append(chain, &bytes);
                expected.extend(bytes);
            }
        }
        for (chain, expected) in &chains {
            assert_eq!(arena.read(chain), *expected);
        }
        let used: usize = chains.iter().map(|(_, bytes)| bytes.len().div_ceil(ROOM)).sum();
        assert!(arena.pages.len() * PAGE < 4 * used + 2 * PAGE, "{} {used}", arena.pages.len());
    }
}
